import json
import multiprocessing
import os
import sys

import pytest
from refused import one_sentence

from mpcore.gate import Policy
from mpcore.store import RunError, accepted, accepted_last, check
from mpcore.store import accept as write_baselines
from mpcore.store.reset import reset_names

TEST = "benchmarks/test_numerics.py::test_numerics[bert-imdb-fp16-amp-eager-tiny]"
CASE = "bert-imdb-fp16-amp-eager-tiny"
SPEED = f"benchmarks/test_speed.py::test_speed[{CASE}]"
NAMES = {TEST: f"numerics:{CASE}", SPEED: f"speed:{CASE}", "test_speed[a]": "speed:a", "test_speed[b]": "speed:b"}
OF_SPEED = {"kind": "speed", "blocks": {"steps": 1, "seconds": [1.0]}, "references": {}, "low_precision_flops_share": 0.9}
COUNTS = {"skipped_steps": 0, "flops_per_step": 10, "dropped_blocks": 0}
MISSING = ("eager", "peak_allocated_bytes", "peak_reserved_bytes", "pool_bytes", "loss_before", "loss_after", "loss_scale")
ENOSPC = OSError(28, "No space left on device")


def accept(files, folder, reason="a reason", keep=10, **options):
    """As the command does it."""
    return write_baselines(check(files, folder, reason, keep=keep, **options), folder, keep)


def refusal(files, folder, reason="a reason", **options):
    """The message with which a run is refused, which is to be one sentence, and with which nothing changes."""
    before = contents(folder)
    message = one_sentence(RunError, accept, files, folder, reason, **options)
    assert contents(folder) == before
    return message


def contents(folder):
    return {path: path.read_text() for path in folder.rglob("*") if path.is_file()}


def names(folder):
    return [path.name for path in sorted((folder / "some-cpu-2-cores").iterdir())]


@pytest.fixture
def run(content, saved):
    """Saves a run of its own time, and says where."""

    def run(second=0, commit="0123456789abcdef", failed=()):
        told = [{"test": test, "name": NAMES.get(test, ""), "sentence": f"{test} is worse"} for test in failed]
        changes = {"datetime": f"2026-01-02T03:04:{second:02}+00:00", "commit": commit, "failed": told}
        return saved(content | {"mpcore": content["mpcore"] | changes}, f"run{second}.json")

    return run


def test_the_whole_file_is_kept_with_one_key_more(run, folder, hardware):
    new, old = accept([run()], folder, "  the\n first ")
    assert (new, old) == ([folder / "some-cpu-2-cores" / "0001_01234567.json"], [])
    written = json.loads(new[0].read_text())
    why = written["mpcore"].pop("accepted")
    assert written == json.loads(run().read_text())
    assert (why["reason"], why["allowed_failures"], why["reset"]) == ("the first", [], [])
    assert accepted(folder, hardware)[0].accepted.model_dump(mode="json") == why


@pytest.mark.parametrize(
    ("commit", "name"), [(None, "unversioned"), ("abc", "abc"), ("../../etc/passwd", "etcpassw"), ("..", "unversioned")]
)
def test_the_commit_is_a_part_of_the_name(run, folder, commit, name):
    accept([run(commit=commit)], folder, "a reason")
    assert names(folder) == [f"0001_{name}.json"]


def test_numbers_go_on_from_the_largest(content, run, stored, folder):
    stored(content, "0041_abc.json")
    accept([run(1)], folder, "a reason")
    accept([run(2)], folder, "a reason")
    assert names(folder) == ["0041_abc.json", "0042_01234567.json", "0043_01234567.json"]


def test_several_are_accepted_in_the_order_in_which_they_were_measured(run, folder, hardware):
    accept([run(9), run(1), run(5)], folder, "a reason")
    assert [r.datetime[17:19] for r in accepted(folder, hardware)] == ["01", "05", "09"]


def test_each_machine_has_its_own(run, saved, folder):
    content = json.loads(run().read_text())
    content["mpcore"]["machine"]["hardware"]["cores"] = 8
    other = saved(content, "other.json")
    accept([run(1), other], folder, "a reason")
    assert sorted(path.parent.name for path in contents(folder)) == ["some-cpu-2-cores", "some-cpu-8-cores"]


@pytest.mark.parametrize("reason", ["", " \n"])
def test_a_reason_is_needed(run, folder, reason):
    assert refusal([run()], folder, reason) == "nothing is accepted without a reason"


def test_a_run_that_was_ended_early_is_refused(content, saved, folder):
    content["mpcore"]["missed"] = 2
    path = saved(content)
    assert refusal([path], folder) == f"{path} was ended before it reached 2 of its cases, and is no reference for them"


def test_a_run_without_results_is_refused(content, saved, folder):
    content["mpcore"]["results"] = []
    path = saved(content)
    assert refusal([path], folder) == f"{path} has no results: nothing in it could be compared with"


@pytest.mark.parametrize("text", [None, "{", "[]", "{}"])
def test_all_are_read_before_one_is_written(run, tmp_path, folder, text):
    bad = tmp_path / "bad.json"
    if text is not None:
        bad.write_text(text)
    assert str(bad) in refusal([run(), bad], folder)
    assert not folder.exists()


def test_a_run_that_failed_is_refused(run, folder):
    path = run(failed=[TEST])
    message = refusal([path], folder)
    assert message.startswith(f"{path} has failures, and a failed run is no reference: {CASE} (the first: {TEST} is worse)")


def test_why_it_failed_is_told_on_one_line(content, saved, folder):
    content["mpcore"]["failed"] = [
        {"test": TEST, "name": f"numerics:{CASE}", "sentence": "it is worse\n  and " + "worse " * 1000}
    ]
    assert "(the first: it is worse and worse worse" in (message := refusal([saved(content)], folder))
    assert len(message) < 1000


def test_a_reason_that_is_no_text_is_kept_as_far_as_it_is(run, folder, hardware):
    accept([run()], folder, "caf\udce9 au lait")
    assert accepted(folder, hardware)[0].accepted.reason == "caf? au lait"


def test_a_result_that_fails_is_a_failure(content, saved, folder, failing):
    failing(content)
    path = saved(content)
    assert f"{CASE} (the first: it is too large)" in refusal([path], folder)
    accept([path], folder, "a reason", allow_failures=[CASE])
    assert len(contents(folder)) == 1


@pytest.mark.parametrize("name", [CASE, f"numerics:{CASE}", TEST], ids=["case", "numerics", "test"])
def test_a_failure_is_allowed_by_its_name(run, folder, hardware, name):
    accept([run(failed=[TEST])], folder, "a reason", allow_failures=[name])
    (baseline,) = accepted(folder, hardware)
    assert baseline.accepted.allowed_failures == (TEST,)


def test_each_failure_is_named(run, folder):
    path = run(failed=[TEST, "test_speed[a]", "test_speed[b]"])
    message = refusal([path], folder, allow_failures=[CASE])
    assert ": a, b (the first: test_speed[a] is worse)" in message
    accept([path], folder, "a reason", allow_failures=[CASE, "a", "b"])


def test_a_case_that_failed_in_two_kinds_is_told_apart(run, folder, hardware):
    path = run(failed=[TEST, SPEED])
    assert f": numerics:{CASE}, speed:{CASE} (the first" in refusal([path], folder)
    assert (
        refusal([path], folder, allow_failures=[CASE]) == f"{path}: {CASE!r} is one of numerics:{CASE}, speed:{CASE}: say which"
    )
    accept([path], folder, "a reason", allow_failures=[f"speed:{CASE}", f"numerics:{CASE}"])
    assert accepted(folder, hardware)[0].accepted.allowed_failures == (TEST, SPEED)


def test_a_test_of_no_case_is_allowed_by_its_node_id(run, folder):
    accept(
        [run(failed=["benchmarks/test_own.py::test_own"])],
        folder,
        "a reason",
        allow_failures=["benchmarks/test_own.py::test_own"],
    )
    assert len(contents(folder)) == 1


@pytest.mark.parametrize(("failed", "listed"), [((), "nothing"), ((TEST,), CASE)], ids=["nothing", "case"])
def test_a_name_of_nothing_that_failed_is_refused(run, folder, failed, listed):
    message = refusal([run(failed=failed)], folder, allow_failures=["bert-imbd"])
    assert message == f"nothing that failed is called 'bert-imbd'; what failed: {listed}"


def test_what_failed_for_strictness_alone_is_no_obstacle(content, saved, folder, hardware):
    strict = {"test": TEST, "name": f"numerics:{CASE}", "sentence": "it is undecided", "strict": True}
    content["mpcore"]["failed"] = [strict, strict | {"test": SPEED, "name": f"speed:{CASE}", "strict": False}]
    path = saved(content)
    assert f"a failed run is no reference: speed:{CASE} (the first" in refusal([path], folder)
    accept([path], folder, allow_failures=[CASE])  # one of them alone has to be allowed
    assert accepted(folder, hardware)[0].accepted.allowed_failures == (SPEED,)


def test_what_became_slower_in_all_cases_is_allowed_by_its_name(content, saved, folder, hardware):
    about = ("case", "workload_version", "device", "batch_size", "unit")
    speed = OF_SPEED | COUNTS | dict.fromkeys((*MISSING, "ceiling_flops", "profile", "gpu"))
    speed |= {key: content["mpcore"]["results"][0]["record"][key] for key in about} | {"loss_before": 1.0, "loss_after": 0.5}
    content["mpcore"]["results"].append({"record": speed})
    content["mpcore"]["failed"] = [{"test": "all cases", "sentence": "all of them take longer"}]
    path = saved(content)
    assert "a failed run is no reference: all cases (the first" in refusal([path], folder)
    accept([path], folder, allow_failures=["all cases"])
    assert reset_in(folder, hardware) == [(f"speed:{CASE}",)]


def test_a_name_may_be_of_a_failure_in_one_of_several_runs(run, folder, hardware):
    accept([run(1), run(2, failed=[TEST])], folder, "a reason", allow_failures=[CASE])
    assert [r.accepted.allowed_failures for r in accepted(folder, hardware)] == [(), (TEST,)]


def reset_in(folder, hardware):
    return [r.accepted.reset for r in accepted(folder, hardware)]


@pytest.mark.parametrize("pattern", [CASE, f"numerics:{CASE}", "bert-*", "*"], ids=["case", "numerics", "model", "all"])
def test_a_case_is_reset_by_its_name(run, folder, hardware, pattern):
    accept([run(1)], folder, "a reason")
    accept([run(2), run(3)], folder, "a reason", reset=[pattern])
    assert reset_in(folder, hardware) == [(), (f"numerics:{CASE}",), ()]  # of those accepted together both count


def test_what_is_no_longer_measured_is_let_go(content, saved, folder, hardware):
    """Where another run fits the pattern, only what it has anew is reset."""
    other = json.loads(json.dumps(content).replace("bert-imdb", "bert-old"))
    for number, each in enumerate((content, other), 1):
        each["mpcore"]["datetime"] = f"2026-01-0{number}T00:00:00+00:00"
        accept([saved(each)], folder, "a reason")
    runs = accepted(folder, hardware)
    assert [run.results[0].record.case.workload for run in accepted_last(runs)] == ["bert-old", "bert-imdb"]
    later = [run.model_copy(update={"path": "later.json"}) for run in runs[:1]]
    assert reset_names(later, ["bert-*"], {hardware.key: runs}) == [(f"numerics:{CASE}",)]
    assert reset_names(later, ["bert-old-*"], {hardware.key: runs}) == [("numerics:bert-old-fp16-amp-eager-tiny",)]
    content["mpcore"]["datetime"] = "2026-01-03T00:00:00+00:00"
    accept([saved(content)], folder, "a reason", reset=["bert-old-*"])
    assert [run.results[0].record.case.workload for run in accepted_last(accepted(folder, hardware))] == ["bert-imdb"]


def test_a_pattern_that_fits_nothing_is_refused(run, folder):
    message = refusal([run()], folder, reset=["bert-imbd-*"])
    assert message == "no case is called 'bert-imbd-*': expected a case, KIND:CASE, or a pattern such as 'bert-imdb-*'"
    assert contents(folder) == {}


def test_what_is_accepted_though_it_is_worse_is_reset(content, saved, folder, hardware, failing):
    """But not what failed for another reason: it would lose its history with each run."""
    failing(content)
    (failed,) = content["mpcore"]["results"][0]["checks"]
    for number, judgements in enumerate(({"checks": [failed]}, {"checks": [], "regressions": [failed | {"status": "worse"}]})):
        content["mpcore"]["datetime"] = f"2026-01-0{number + 1}T00:00:00+00:00"
        content["mpcore"]["results"][0] |= judgements
        accept([saved(content)], folder, "a reason", allow_failures=[CASE])
    assert reset_in(folder, hardware) == [(), (f"numerics:{CASE}",)]


def test_a_run_is_accepted_once(run, folder):
    (first,), _ = accept([run()], folder, "a reason")
    assert refusal([run()], folder) == f"{run()} has been accepted already: it is the run in {first}"
    assert refusal([first], folder) == f"{first} has been accepted already: it is the run in {first}"
    assert refusal([run(1), run(1)], folder) == f"{run(1)} is named twice"
    copy = run(1).with_name("copy.json")
    copy.write_bytes(run(1).read_bytes())
    assert refusal([run(1), copy], folder) == f"{copy} is the run in {run(1)}"


def test_runs_of_one_moment_and_other_commits_are_two(run, folder):
    accept([run(commit="a")], folder, "a reason")
    accept([run(commit="b")], folder, "a reason")
    assert names(folder) == ["0001_a.json", "0002_b.json"]


def test_the_last_are_kept_and_the_first(run, folder):
    """What is new is held against the oldest, too."""
    accept([run(1), run(2), run(3)], folder, "a reason", keep=3)
    new, old = accept([run(4)], folder, "a reason", keep=3)
    assert ([path.name for path in new], [path.name for path in old]) == (["0004_01234567.json"], ["0002_01234567.json"])
    assert names(folder) == ["0001_01234567.json", "0003_01234567.json", "0004_01234567.json"]


def test_the_first_is_not_kept_once_all_of_it_is_reset(run, folder):
    accept([run(1), run(2)], folder, "a reason", keep=3)
    accept([run(3)], folder, "a reason", keep=3, reset=["*"])
    _, old = accept([run(4)], folder, "a reason", keep=3)
    assert [path.name for path in old] == ["0001_01234567.json"]


def test_fewer_are_kept_from_now_on(run, folder):
    for second in range(4):
        accept([run(second)], folder, "a reason")
    _, old = accept([run(4)], folder, "a reason", keep=1)
    assert len(old) == 4
    assert names(folder) == ["0005_01234567.json"]


def test_more_than_are_kept_are_not_accepted_at_once(run, folder):
    message = refusal([run(1), run(2), run(3)], folder, keep=2)
    assert message == "3 runs on some-cpu-2-cores cannot be accepted at once where 2 are kept"


def test_a_baseline_that_cannot_be_read_is_not_taken_for_none(run, stored, folder):
    bad = stored("{")
    assert str(bad) in refusal([run()], folder)


def test_a_machine_that_differs_is_refused(on_gpu, saved, folder):
    first = saved(on_gpu)
    on_gpu["mpcore"]["machine"]["hardware"]["power_limit_watts"] = 500.0
    on_gpu["mpcore"]["datetime"] = "2026-01-03T03:04:05+00:00"
    second = saved(on_gpu, "other.json")
    assert "500 W is not 700 W" in refusal([first, second], folder)
    accept([first], folder, "a reason")
    assert "700 W is not 500 W" in refusal([second], folder)


def test_what_is_checked_is_not_written_yet(run, folder):
    accept([run(1)], folder)
    before = contents(folder)
    found = check([run(2), run(3)], folder, "a reason")
    assert [(c.run.path, len(c.baselines), c.accepted.reason) for c in found] == [
        (str(run(2)), 1, "a reason"),
        (str(run(3)), 2, "a reason"),
    ]
    assert contents(folder) == before


def test_what_others_accept_after_a_check_is_not_lost(run, folder, hardware):
    found = check([run(2)], folder, "a reason")
    accept([run(1)], folder)
    write_baselines(found, folder)
    assert [r.datetime[17:19] for r in accepted(folder, hardware)] == ["01", "02"]
    with pytest.raises(RunError, match="has been accepted already"):
        write_baselines(found, folder)
    assert len(names(folder)) == 2


def test_what_a_newer_layout_adds_is_kept(content, saved, folder, hardware):
    content["mpcore"] |= {"layout": "4.99", "weather": {"rain": True}}
    content["mpcore"]["results"][0]["record"]["colour"] = "red"
    new, _ = accept([saved(content)], folder)
    written = json.loads(new[0].read_text())["mpcore"]
    assert (written["weather"], written["results"][0]["record"]["colour"]) == ({"rain": True}, "red")
    (baseline,) = accepted(folder, hardware)
    assert (baseline.results[0].record.colour, baseline.accepted.reason) == ("red", "a reason")


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("error", [ENOSPC, KeyboardInterrupt()])
def test_what_cannot_be_written_leaves_nothing(run, folder, monkeypatch, step, error):
    def fails(*_):
        raise error

    accept([run(1)], folder, "a reason")
    before = contents(folder)
    monkeypatch.setattr(os, step, fails)
    with pytest.raises((RunError, KeyboardInterrupt)) as caught:
        accept([run(2)], folder, "a reason")
    assert contents(folder) == before
    if error is ENOSPC:
        assert str(caught.value) == f"cannot write {folder}/some-cpu-2-cores/0002_01234567.json: No space left on device"


def test_a_process_that_is_killed_before_the_file_has_its_name_leaves_nothing_that_is_read(run, folder, hardware, monkeypatch):
    accept([run(1)], folder, "a reason")
    context = multiprocessing.get_context("fork")
    monkeypatch.setattr(os, "replace", lambda *_: os._exit(9))
    process = context.Process(target=accept, args=([run(2)], folder, "a reason"))
    process.start()
    process.join()
    monkeypatch.undo()
    assert process.exitcode == 9
    assert len(contents(folder)) == 2  # the draft is there, whole or not
    assert len(accepted(folder, hardware)) == 1
    accept([run(2)], folder, "a reason")
    assert names(folder) == ["0001_01234567.json", "0002_01234567.json"]


def test_a_folder_that_cannot_be_made_is_said(run, folder, tmp_path):
    (tmp_path / "file").write_text("")
    assert "file/some-cpu-2-cores: Not a directory" in refusal([run()], tmp_path / "file")
    with pytest.raises(RunError, match=f"cannot write {tmp_path}/file: File exists"):
        write_baselines(check([run()], folder, "a reason"), tmp_path / "file")


def test_a_folder_that_may_not_be_written_is_said(run, folder, monkeypatch):
    def denied(*_, **__):
        raise PermissionError(13, "Permission denied")

    path = run()
    monkeypatch.setattr("pathlib.Path.mkdir", denied)  # root may write everywhere
    assert refusal([path], folder) == f"cannot write {folder}: Permission denied"


def _accept_in_turn(files, folder, barrier):
    barrier.wait()
    for file in files:
        accept([file], folder, "a reason", keep=16)


def test_two_at_once_lose_none(run, folder, hardware):
    files = [[run(8 * process + number) for number in range(8)] for process in range(2)]
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    processes = [context.Process(target=_accept_in_turn, args=(of, folder, barrier)) for of in files]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert sorted(int(run.datetime[17:19]) for run in accepted(folder, hardware)) == list(range(16))
    assert [name[:4] for name in names(folder)] == [f"{number:04}" for number in range(1, 17)]


# What it joins


def gradient(error, second):
    """The stored run, whose gradient has this error."""

    def made(content, saved):
        content["mpcore"]["results"][0]["record"] |= {"gradient_error": error}
        content["mpcore"]["datetime"] = f"2026-01-02T03:04:{second:02}+00:00"
        return saved(content, f"run{second}.json")

    return made


def test_a_run_that_is_worse_than_what_it_joins_is_allowed_by_name(content, saved, folder, hardware):
    """Its session knew nothing of these baselines."""
    accept([gradient(0.010, 1)(content, saved)], folder)
    worse = gradient(0.016, 2)(content, saved)
    message = refusal([worse], folder)
    assert f"{CASE} (the first: bert-imdb: gradient error of fp16-amp is 0.016, 0.01 in accepted runs" in message
    accept([worse], folder, allow_failures=[CASE])
    assert reset_in(folder, hardware) == [(), (f"numerics:{CASE}",)]
    assert accepted(folder, hardware)[1].accepted.allowed_failures == (f"numerics:{CASE}",)


def test_runs_that_are_accepted_together_are_judged_one_by_the_other(content, saved, folder):
    files = [gradient(error, second)(content, saved) for second, error in ((1, 0.010), (2, 0.016))]
    assert "run2.json has failures" in refusal(files, folder)


def test_slow_drift_is_found_by_the_oldest(content, saved, folder, hardware):
    """A quarter more each time: of three the median is left behind by less than half."""
    for second, error in enumerate((0.010, 0.0125, 0.0149), 1):
        accept([gradient(error, second)(content, saved)], folder)
    drifting = gradient(0.0155, 4)(content, saved)
    assert "That is slow drift since the oldest accepted run" in refusal([drifting], folder)
    accept([drifting], folder, allow_failures=[CASE])
    accept([gradient(0.0160, 5)(content, saved)], folder)  # from there on it begins anew
    assert reset_in(folder, hardware)[3:] == [(f"numerics:{CASE}",), ()]


def test_margins_of_the_policy_count(content, saved, folder):
    accept([gradient(0.010, 1)(content, saved)], folder)
    accept([gradient(0.016, 2)(content, saved)], folder, policy=Policy([("*", {"errors": 2.0})]))


# What was left by a process that was killed


def test_the_rest_of_several_is_accepted_where_a_process_was_killed_between_them(run, folder):
    files = [run(1), run(2)]
    accept(files[:1], folder)
    draft = folder / "some-cpu-2-cores" / ".0002_01234567.json.tmp"
    draft.write_text("{")
    new, _ = accept(files, folder)
    assert [path.name for path in new] == ["0002_01234567.json"]
    assert not draft.exists()


def test_what_is_new_is_named_where_an_old_one_cannot_be_removed(run, folder, monkeypatch):
    accept([run(1), run(2), run(3)], folder, keep=3)

    def refuse(paths):
        raise RunError("cannot remove it: Operation not permitted")

    monkeypatch.setattr(sys.modules["mpcore.store.accept"], "remove", refuse)
    with pytest.raises(RunError, match=r"not permitted; what is new is accepted nevertheless: .*/0004_01234567\.json"):
        accept([run(4)], folder, keep=3)
