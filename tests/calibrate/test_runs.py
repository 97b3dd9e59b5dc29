"""How far accepted runs of one code differ."""

import json
import math
from dataclasses import replace

import pytest
from synthetic import run_of

from mpcore.__main__ import main
from mpcore.calibrate.leave_one_out import leave_one_out, wandered
from mpcore.calibrate.runs import fit_runs, joined_parts
from mpcore.gate.limits import UNSTEADY_PRIOR_LOG_SD
from mpcore.records import Accepted, Calibration, Hardware
from mpcore.store import RunError, accepted, calibration

CASES = 30


def runs(rng, count=4, deviation=0.002, capped=0, gpus=None):
    """Runs of one code: the first cases at the power limit."""
    logs = deviation * rng.standard_normal((count, CASES))
    return [
        run_of(
            {f"w{i}": 0.01 * math.exp(log) for i, log in enumerate(of)},
            day=day + 1,
            uuid=f"gpu-{day % (gpus or count)}",
            capped={f"w{i}" for i in range(capped)},
        )
        for day, of in enumerate(logs)
    ]


def on_gpu(run, **state):
    """The run with another state of the GPU in each record."""

    def changed(record):
        return record.model_copy(update={"gpu": record.gpu.model_copy(update=state)})

    return run.model_copy(update={"results": tuple(r.model_copy(update={"record": changed(r.record)}) for r in run.results)})


def without_clocks(run):
    return on_gpu(run, sm_mhz=())


def test_the_deviation_between_runs_is_found(rng):
    found = fit_runs(runs(rng, count=8, deviation=0.003, capped=10))
    assert found.calibration.steady_log_sd == pytest.approx(0.003, abs=0.0006)
    assert found.calibration.power_cap_log_sd == pytest.approx(0.003, abs=0.0006)
    assert (len(found.noise.steady), len(found.noise.capped), found.noise.freedom) == (20, 10, 7)
    assert (found.calibration.runs, found.calibration.gpus, found.left_out) == (8, 8, ())


def test_what_all_cases_share_is_told_from_what_each_has(rng):
    off = [without_clocks(run) for run in wandered(runs(rng, count=6, deviation=1e-4), 0.03)]
    assert fit_runs(off).calibration.shared_log_sd > 0.005


def test_less_than_three_gpus_earn_nothing(rng):
    few = fit_runs(runs(rng, gpus=2)).calibration
    assert (few.gpus, few.steady_log_sd, few.power_cap_log_sd) == (2, UNSTEADY_PRIOR_LOG_SD, UNSTEADY_PRIOR_LOG_SD)


def test_a_clock_that_wanders_and_is_not_known_earns_nothing(rng):
    found = fit_runs([without_clocks(run) for run in wandered(runs(rng), 0.03)]).calibration
    assert found.steady_log_sd >= UNSTEADY_PRIOR_LOG_SD


def test_what_a_known_clock_does_is_taken_out(rng):
    found = fit_runs(wandered(runs(rng, count=8, deviation=0.003), 0.03)).calibration
    assert found.steady_log_sd == pytest.approx(0.003, abs=0.0006)
    assert found.shared_log_sd < 0.002


def test_a_case_of_another_code_is_left_out(rng):
    others = runs(rng)[:-1]
    times = dict.fromkeys((f"w{i}" for i in range(CASES)), 0.01) | {"w3": 0.012}
    found = fit_runs([*others, run_of(times, day=9, uuid="gpu-9")])
    assert found.left_out == ("w3-fp16-amp-graph-full",)
    assert found.calibration.steady_log_sd < 0.004


def in_two_parts(run):
    """As they are accepted by one command: its first cases, and all others."""
    together = {"accepted": Accepted(reason="in parts", datetime=run.datetime)}
    return [run.model_copy(update={"results": results, **together}) for results in (run.results[:10], run.results[10:])]


def test_parts_that_were_accepted_together_are_one_run(rng):
    whole = runs(rng)
    assert fit_runs(joined_parts(part for run in whole for part in in_two_parts(run))) == fit_runs(whole)


def test_runs_of_the_same_cases_that_were_accepted_together_stay_apart(rng):
    accepted_at_once = {"accepted": Accepted(reason="three nights", datetime="2026-01-09T00:00:00+00:00")}
    nights = [run.model_copy(update=accepted_at_once) for run in runs(rng, count=3)]
    assert joined_parts(nights) == nights


def holding(run, first, end, name="part.json"):
    """The run with some of its cases."""
    return run.model_copy(update={"results": run.results[first:end], "path": name})


def test_a_run_of_a_few_cases_takes_nothing_from_the_others(rng):
    whole = runs(rng, count=8, deviation=0.003)
    found = fit_runs([*whole[:7], holding(whole[7], 0, 5)])
    assert len(found.noise.steady) == CASES
    assert found.noise.steady[:5] == fit_runs(whole).noise.steady[:5]
    assert found.noise.steady[5:] == fit_runs(whole[:7]).noise.steady[5:]
    assert found.noise.shared == pytest.approx(fit_runs(whole[:7]).noise.shared, abs=1e-4)
    assert found.calibration.runs == 8
    assert found.untold == (f"part.json holds 5 of {CASES} cases: it tells nothing of what all share",)


@pytest.mark.parametrize(
    ("first", "end", "why"),
    [(0, 0, "it holds no graph"), (-1, None, "each of its graphs is comparable in fewer than 3 runs")],
)
def test_a_run_that_tells_nothing_is_left_out_and_named(rng, first, end, why):
    whole = [holding(run, 0, -1, f"{number}.json") for number, run in enumerate(runs(rng))]
    found = fit_runs([*whole, holding(runs(rng)[0], first, end)])
    assert replace(found, untold=()) == fit_runs(whole)
    assert found.untold == (f"part.json is left out: {why}",)


def test_what_all_cases_share_is_told_from_cases_that_some_runs_lack():
    """Levels of the first cases are then of the first runs, which are faster."""
    drift = [
        run_of(dict.fromkeys((f"w{i}" for i in range(CASES)), 0.01 * math.exp(0.005 * n)), n + 1, f"{n}") for n in range(6)
    ]
    held = [(0, 18), (0, 18), (0, CASES), (0, CASES), (12, CASES), (12, CASES)]
    some = [holding(run, *cases) for run, cases in zip(drift, held, strict=True)]
    assert fit_runs(some).noise.shared == pytest.approx(fit_runs(drift).noise.shared, rel=1e-3)


def test_parts_of_which_none_holds_most_cases_tell_nothing_of_what_all_share(rng):
    parts = [holding(run, *half) for half in ((0, 15), (15, CASES)) for run in runs(rng)]
    assert fit_runs(parts).calibration.shared_log_sd == UNSTEADY_PRIOR_LOG_SD


def test_runs_without_a_common_case_are_one_sentence(rng):
    apart = [holding(run, number, number + 1) for number, run in enumerate(runs(rng))]
    with pytest.raises(RunError, match="nvidia-h200: no case is a graph in 3 of 4 accepted runs: expected one whose times"):
        fit_runs(apart)


def test_a_case_is_judged_where_all_runs_of_a_choice_hold_it(rng):
    whole = runs(rng, deviation=1e-4)
    of = [*whole[:3], holding(whole[3], 0, 5)]
    times, together = leave_one_out(of, fit_runs(of).calibration, 2)
    assert times == {"same": 3 * CASES + 3 * 3 * 5}
    assert together == {"same": 4 * 3}


def test_too_few_runs_are_one_sentence(rng):
    with pytest.raises(RunError, match="nvidia-h200: 2 accepted runs: expected 3 at least of one code"):
        fit_runs(runs(rng, count=2))


def test_each_run_is_judged_against_every_choice_of_others(rng):
    of = runs(rng, deviation=1e-4)
    times, together = leave_one_out(of, fit_runs(of).calibration, 2)
    assert times == {"same": 4 * 3 * CASES}
    assert together == {"same": 4 * 3}


@pytest.fixture
def folder(tmp_path, rng):
    """Baselines."""
    for number, run in enumerate(runs(rng), 1):
        path = tmp_path / "nvidia-h200" / f"{number:04}_{number:08}.json"
        path.parent.mkdir(exist_ok=True)
        stored = run.model_copy(update={"accepted": Accepted(reason="a", datetime="2026-01-01T00:00:00+00:00")})
        path.write_text(json.dumps({"benchmarks": [], "mpcore": stored.model_dump(mode="json")}))
    return tmp_path


def test_the_command_fits_judges_and_writes(folder, capsys):
    assert main(["calibrate", "--baselines", str(folder), "--suites", "5", "--write"]) == 0
    said = capsys.readouterr()
    for part in ("nvidia-h200: 4 runs on 4 GPUs differ", "Each run judged against others", "of 5 simulated"):
        assert part in said.out
    hardware = accepted(folder, Hardware(**HARDWARE))[0].machine.hardware
    assert calibration(folder, hardware).steady_log_sd == pytest.approx(0.002, abs=0.001)
    assert f"written: {folder}/nvidia-h200/calibration.json" in said.err
    assert main(["show", "--baselines", str(folder)]) == 0  # it is no run


HARDWARE = {
    "device": "cuda", "name": "NVIDIA H200", "count": 1, "memory_bytes": 1, "power_limit_watts": 1, "mig": None, "uuid": "u",
    "capability": "9.0", "cpu": "c", "cores": 1,
}  # fmt: skip


def test_no_accepted_runs_are_said(tmp_path, capsys):
    assert main(["calibrate", "--baselines", str(tmp_path)]) == 4
    assert capsys.readouterr().err == f"mpcore: no accepted runs in {tmp_path}\n"


def test_without_write_nothing_is_written(folder, capsys):
    assert main(["calibrate", "--baselines", str(folder), "--suites", "5"]) == 0
    assert not (folder / "nvidia-h200" / "calibration.json").exists()


def test_a_kind_with_too_few_runs_is_said_and_the_others_are_fitted(folder, capsys):
    few = folder / "a-few"
    few.mkdir()
    hardware = HARDWARE | {"name": "A few"}
    content = json.loads((folder / "nvidia-h200" / "0001_00000001.json").read_text())
    content["mpcore"]["machine"]["hardware"] = hardware
    (few / "0001_a.json").write_text(json.dumps(content))
    assert main(["calibrate", "--baselines", str(folder), "--suites", "5"]) == 4
    said = capsys.readouterr()
    assert "a-few: 1 accepted runs: expected 3" in said.err
    assert "nvidia-h200: 4 runs" in said.out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--write"], "--write keeps what --baselines finds: expected both"),
        (["--baselines", ".", "--traces", "a"], "--traces and --baselines: expected one of them"),
    ],
)
def test_options_of_fitting_that_do_not_fit_are_refused(capsys, arguments, sentence):
    assert main(["calibrate", *arguments]) == 2
    assert capsys.readouterr().err == f"mpcore: {sentence}\n"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{}", "hardware: Field required"),
        ("nothing", "Invalid JSON"),
        (None, "expected the calibration of nvidia-h200, found one of other"),
    ],
)
def test_a_calibration_that_cannot_be_used_is_one_sentence(folder, text, sentence):
    made = Calibration(
        hardware="other", runs=3, gpus=3, steady_log_sd=0.1, power_cap_log_sd=0.1, unsteady_log_sd=0.1, shared_log_sd=0.1
    )
    path = folder / "nvidia-h200" / "calibration.json"
    path.write_text(made.model_dump_json() if text is None else text)
    with pytest.raises(RunError, match=sentence) as caught:
        calibration(folder, Hardware(**HARDWARE))
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_folder_without_a_calibration_has_none(folder):
    assert calibration(folder, Hardware(**HARDWARE)) is None


def test_times_on_a_wandering_clock_move_with_it(rng):
    """By the clock, or by less of it."""
    on_time = runs(rng, count=3)
    off = wandered(on_time, 0.03)
    pairs = [(a.record, b.record) for a, b in zip(on_time[0].results, off[0].results, strict=True)]
    powers = [
        math.log(before.blocks.seconds[0] / after.blocks.seconds[0]) / math.log(after.gpu.sm_mhz[0] / before.gpu.sm_mhz[0])
        for before, after in pairs
    ]
    assert 0 <= min(powers) < 0.3
    assert 0.7 < max(powers) < 1.05  # a clock is a whole number


def test_clocks_that_differ_within_a_run_but_not_between_them_are_no_clocks_of_runs(rng):
    clocks = iter([(1965, 1980, 1980), (1980, 1980, 1995), (1980,)])
    found = fit_runs([on_gpu(run, sm_mhz=next(clocks)) for run in runs(rng, count=3)])
    assert found.calibration.steady_log_sd >= UNSTEADY_PRIOR_LOG_SD


def test_a_case_at_the_power_limit_in_any_run_keeps_its_clock(rng):
    first, *others = runs(rng, capped=3)
    off = wandered([on_gpu(first, limits=()), *others], 0.03)
    moved = [a.record != b.record for a, b in zip(first.results, off[0].results, strict=True)]
    assert moved[3:] == [True] * (CASES - 3)
    assert [result.record.blocks for result in off[0].results[:3]] == [result.record.blocks for result in first.results[:3]]
