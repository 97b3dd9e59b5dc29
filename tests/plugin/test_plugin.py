"""The suite as its users call it, on the real workloads at their tiny size."""

import contextlib
import json
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path
from types import SimpleNamespace

import pytest

import mpcore.contract
import mpcore.gate
import mpcore.report.documents
import mpcore.report.render  # noqa: F401  (all before pytester, which unloads what it sees loaded first)
from mpcore.execution import CaptureError
from mpcore.gate import Policy, judge_run
from mpcore.measure import Bench
from mpcore.plugin.options import check_settings
from mpcore.plugin.pytest_benchmark import saved_files, timed
from mpcore.precision import Inapplicable
from mpcore.precision.autocast import Autocast
from mpcore.precision.fp8 import FP8
from mpcore.records import Blocks, Drift, Numerics, Quality, Reference, Speed, Work
from mpcore.selection import SelectionError
from mpcore.store import load


def errors(result):
    return [line for line in (result.stderr.str() + result.stdout.str()).splitlines() if line.startswith("ERROR:")]


def test_all_kinds_are_measured_shown_and_saved_without_a_history(run, pytester):
    result = run("--mp-workload", "resnet18-mnist", "--mp-precision", "fp32,bf16-amp", "--benchmark-autosave", "-v")
    assert result.ret == 0
    result.assert_outcomes(passed=8)
    result.stdout.fnmatch_lines(["*test_accuracy?resnet18-mnist-bf16-amp-eager-tiny? PASSED*"])
    result.stdout.fnmatch_lines(["mpcore: 8 cases on *(cpu), size tiny, data embedded, weights random"])
    result.stdout.fnmatch_lines(["*benchmark 'speed: resnet18-mnist (tiny, eager)': 2 tests*"])
    result.stdout.no_fnmatch_line("*benchmark 'work: *")  # a count has no time
    result.stdout.fnmatch_lines(["mode * step ms * gate", "*", "fp32 * ok", "bf16-amp * ok"])
    result.stdout.fnmatch_lines(["resnet18-mnist: trained from random weights on 1,440 images (embedded data)"])
    (path,) = pytester.path.glob(".benchmarks/*/*.json")
    saved = load(path)
    assert saved.commit is None
    assert saved.machine.hardware.device == "cpu"
    assert "torch" in saved.machine.software
    assert saved.command.startswith("pytest --mp-size tiny")
    assert [type(r.record) for r in saved.results] == [Quality, Quality, Numerics, Numerics, Speed, Speed, Work, Work]
    assert all(r.passed and r.record.requirements.tolerance_points for r in saved.results)
    assert all(r.checks for r in saved.results if not isinstance(r.record, Work))  # which is compared with accepted runs only
    content = json.loads(path.read_bytes())
    assert content["machine_info"]["mpcore"] == saved.machine.hardware.key
    assert all(r.cost.seconds > 0 and r.cost.peak_bytes is None for r in saved.results)  # on a CPU
    assert [b["extra_info"]["mpcore"] for b in content["benchmarks"]] == [r.record.name for r in saved.results]
    stats = {b["name"]: b["stats"] for b in content["benchmarks"]}
    speed, quality = saved.results[5].record, saved.results[0].record
    median = stats["test_speed[resnet18-mnist-bf16-amp-eager-tiny]"]["median"]
    assert median == pytest.approx(speed.blocks.step_seconds)
    rounds = stats["test_accuracy[resnet18-mnist-fp32-eager-tiny]"]
    assert (rounds["rounds"], rounds["min"]) == (3, min(t.train_seconds for t in quality.trainings))


def test_a_session_that_only_counts_is_saved_and_has_no_table_of_times(run, pytester):
    result = run("-m", "work", "--mp-workload", "ncf-movielens", "--mp-precision", "fp32", "--benchmark-json", "run.json")
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*Rounds*")
    assert [r.record.kind for r in load(pytester.path / "run.json").results] == ["work"]


def test_a_test_of_somebody_else_keeps_its_row_where_its_clock_is_coarse():
    theirs, ours = {"max": 0.0, "extra_info": {}}, {"max": 0.0, "extra_info": {"mpcore": "work:a"}}
    assert timed([("all", [theirs, ours]), ("ours", [ours])]) == [("all", [theirs])]


def test_the_commit_is_the_one_that_the_ci_names(run, pytester, monkeypatch):
    monkeypatch.setenv("GITHUB_SHA", "c0ffee")
    run("-m", "numerics", "--mp-workload", "bert-imdb", "--mp-precision", "fp32", "--benchmark-json", "run.json")
    assert load(pytester.path / "run.json").commit == "c0ffee"


def test_selection_by_marker_and_keyword(run):
    result = run(
        "--collect-only", "-q", "-m", "numerics", "-k", "resnet18 and not manual", "--mp-precision", "fp32,fp16-amp,fp16-manual"
    )
    names = [line for line in result.stdout.lines if "::" in line]
    assert names == [f"test_numerics.py::test_numerics[resnet18-mnist-{mode}-eager-tiny]" for mode in ("fp32", "fp16-amp")]


@pytest.mark.parametrize("options", [(), ("--mp-workload", "ncf-movielens")])
def test_on_windows_a_session_ends_in_one_sentence_before_torch(pytester, monkeypatch, options):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent.parent.parent))
    pytester.makeconftest("import sys\nsys.platform = 'win32'\nsys.modules['fcntl'] = sys.modules['torch'] = None")
    pytester.makepyfile("def test_of_a_case(case): pass")
    result = pytester.runpytest_subprocess("-p", "mpcore.plugin", *options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    sentence = "nothing is measured on Windows: expected Linux, as in WSL2 (Windows Subsystem for Linux)"
    assert [line for line in result.errlines if line] == [f"ERROR: {sentence}"]


@pytest.mark.parametrize(
    ("arguments", "refused"),
    [
        (("--mp-compile-cache", "cache"), True),
        (("--mp-compile-cache=cache",), False),
        (("--mp-workload", "resnet50"), False),
        (("--mp-compile-cache", "not-there"), False),
    ],
)
def test_a_folder_that_pytest_takes_for_one_of_tests_is_told(tmp_path, arguments, refused):
    """It would read the project's settings from there."""
    settings = tmp_path / "pyproject.toml"
    settings.write_text("[tool.mpcore.margins]\n")
    (tmp_path / "cache").mkdir()
    config = SimpleNamespace(inipath=None, invocation_params=SimpleNamespace(dir=tmp_path, args=("-q", *arguments, "-x")))
    with pytest.raises(SelectionError, match="expected --mp-compile-cache=cache") if refused else contextlib.nullcontext():
        check_settings(config)
    config.inipath = settings
    check_settings(config)
    config.inipath = None
    settings.write_text("[tool.pytest.ini_options]\n")  # which nothing of ours is lost with
    check_settings(config)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--mp-workload", "bert"), "ERROR: unknown workload 'bert'; known are bert-imdb, bert-imdb-1k"),
        (("--mp-precision", "fp32,half"), "ERROR: unknown precision 'half'; known are fp32, tf32, fp16-amp"),
        (
            ("--mp-compile-cache", "test_speed.py"),
            "ERROR: --mp-compile-cache 'test_speed.py': expected a folder, which need not be there yet",
        ),
        (
            ("--mp-execution", "lazy"),
            "ERROR: unknown execution 'lazy'; known are eager, graph, inductor, compile",
        ),
        (
            ("--mp-precision-target", "0"),
            "ERROR: --mp-precision-target 0.0: expected per cent of the ratio, above 0 and at most",
        ),
        (("--mp-device", "tpu"), "ERROR: --mp-device 'tpu': expected cpu, cuda or cuda:<number>"),
        (("--mp-device", "cuda:99"), "ERROR: --mp-device 'cuda:99': this machine has "),
        (("--mp-data", "nowhere"), "ERROR: no data folder 'nowhere': expected 'embedded', 'hub' or an existing folder"),
        (("--mp-checkpoint", "weights"), "ERROR: --mp-checkpoint 'weights': expected WORKLOAD=WEIGHTS"),
        (("--mp-checkpoint", "bert-imdb=./nowhere"), "ERROR: no checkpoint folder './nowhere': expected a folder"),
        (("--mp-tolerance", "-1"), "ERROR: --mp-tolerance -1.0: expected points of the metric, 0 to 100"),
        (("--mp-tolerance", "nan"), "ERROR: --mp-tolerance nan: expected points of the metric, 0 to 100"),
        (("--mp-workload", ","), "ERROR: --mp-workload ',': expected names separated by commas"),
        (
            ("--mp-checkpoint", "bert-imdb=a", "--mp-checkpoint", "bert-imdb=b"),
            "ERROR: --mp-checkpoint 'bert-imdb=b': bert-imdb has 'a' already",
        ),
    ],
)
def test_a_wrong_option_is_one_sentence_and_a_usage_error(run, arguments, message):
    result = run(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = errors(result)
    assert line.startswith(message)


def test_a_data_folder_that_the_environment_names_is_checked_too(run, monkeypatch):
    monkeypatch.setenv("MPCORE_DATA", "nowhere")
    result = run(options=("-p", "no:cacheprovider"))
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert errors(result) == ["ERROR: no data folder 'nowhere': expected 'embedded', 'hub' or an existing folder"]


def test_data_are_checked_before_anything_is_trained(run, pytester):
    (pytester.path / "folder" / "imdb").mkdir(parents=True)
    result = run("--mp-data", "folder", "--mp-workload", "bert-imdb", "--mp-precision", "fp32")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = errors(result)
    assert "folder/" in line
    assert "expected" in line


def test_a_session_in_which_every_case_is_skipped_does_not_pass(run):
    result = run("--mp-precision", "tf32")
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    result.stdout.fnmatch_lines(
        ["not run:", "  tf32 needs an NVIDIA GPU of compute capability 8.0 or later; this is a cpu (32 cases)"]
    )
    result.stdout.fnmatch_lines(["mpcore: no case was run, which is not a pass"])


def test_a_session_in_which_nothing_is_selected_does_not_pass(run):
    assert run("-k", "nonsense").ret == pytest.ExitCode.NO_TESTS_COLLECTED


@pytest.mark.parametrize("chosen", [(), ("-k", "not parity"), ("-m", "not parity")], ids=["all", "a word", "a marker"])
def test_a_test_of_a_users_own_may_have_a_mark_for_the_benchmark(run, pytester, chosen):
    """Whatever is chosen: a word or a marker with "parity" in it chooses the tests of parity, too."""
    pytester.makepyfile(
        test_own="""
        import pytest

        @pytest.mark.speed
        @pytest.mark.benchmark(group="my own")
        def test_own(case, measure, judge):
            judge(measure.speed(case))
    """
    )
    arguments = ("--mp-workload", "bert-imdb", "--mp-precision", "fp32", "--benchmark-json", "run.json")
    run("test_own.py", *arguments, *chosen).assert_outcomes(passed=1)
    (benchmark,) = json.loads((pytester.path / "run.json").read_bytes())["benchmarks"]
    (result,) = load(pytester.path / "run.json").results
    assert benchmark["group"] == "my own"
    assert benchmark["stats"]["rounds"] == len(result.record.blocks.seconds)


@pytest.mark.parametrize("marker", ["numerics", "parity"])
def test_processes_side_by_side_are_a_usage_error(run, marker):
    result = run("-n2", "-m", marker, "--mp-precision", "fp32", isolated=True)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert errors(result) == ["ERROR: benchmarks of mpcore cannot be spread over processes: run them without -n"]


def test_a_case_that_fails_says_why_in_one_sentence_and_is_saved_as_failed(run, pytester):
    pytester.makeconftest("""
        pytest_plugins = ["mpcore.plugin"]
        import contextlib
        from mpcore.precision.autocast import Autocast
        Autocast.forward = lambda self: contextlib.nullcontext()
    """)
    arguments = ("--mp-workload", "bert-imdb", "--mp-precision", "fp32,bf16-amp", "-m", "numerics")
    result = run(*arguments, "--benchmark-json", "run.json", "--junitxml", "junit.xml", isolated=True)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["bert-imdb: bf16-amp does 0 % of its FLOPs in 16 bits, expected 90 to 100 %"])
    result.stdout.no_fnmatch_line("*Traceback*")
    good, bad = load(pytester.path / "run.json").results
    assert (good.passed, bad.passed) == (True, False)
    assert 'failures="1"' in (pytester.path / "junit.xml").read_text()


def test_cases_that_fail_for_the_same_sentence_are_saved_under_names_of_their_own(run, pytester, monkeypatch):
    monkeypatch.setattr(Autocast, "forward", lambda self: contextlib.nullcontext())
    arguments = ("--mp-workload", "bert-imdb", "--mp-precision", "bf16-amp", "-m", "numerics", "--mp-batch", "4,8")
    result = run(*arguments, "--benchmark-json", "run.json")
    first, second = load(pytester.path / "run.json").failed
    assert first.sentence == second.sentence
    assert [f.name for f in (first, second)] == [f"numerics:bert-imdb-bf16-amp-eager-tiny-b{batch}" for batch in (4, 8)]
    titles = [f"*benchmark 'numerics: bert-imdb (tiny, eager, batch of {batch})': 1 tests*" for batch in (4, 8)]
    result.stdout.fnmatch_lines(titles)


def test_a_comparison_that_fails_before_it_is_measured_has_the_name_of_its_record(run, pytester, monkeypatch):
    race = Bench.race

    def failing(self, case, modes, trainers, *rest, **least):
        if case.workload == "resnet18-mnist":
            raise CaptureError("the step cannot be captured")
        return race(self, case, modes, trainers[:1], *rest, **least)

    monkeypatch.setattr(Bench, "race", failing)
    arguments = ("--mp-workload", "bert-s128,resnet18-mnist", "--mp-precision", "fp32", "-m", "parity")
    run(*arguments, "--benchmark-json", "run.json")
    saved = load(pytester.path / "run.json")
    assert [r.record.name for r in saved.results] == ["race:bert-s128-fp32-eager-tiny"]
    assert [f.name for f in saved.failed] == ["race:resnet18-mnist-fp32-eager-tiny"]


def test_what_was_measured_before_an_interruption_is_saved(run, pytester):
    pytester.makeconftest("""
        pytest_plugins = ["mpcore.plugin"]
        def pytest_runtest_setup(item):
            if "bf16" in item.name:
                raise KeyboardInterrupt
    """)
    run(
        "--mp-workload",
        "bert-imdb",
        "--mp-precision",
        "fp32,bf16-amp",
        "-m",
        "numerics",
        "--benchmark-json",
        "run.json",
        isolated=True,
    )
    saved = load(pytester.path / "run.json")
    assert [r.record.case.precision for r in saved.results] == ["fp32"]
    assert saved.missed == 1


def test_an_interruption_while_results_are_written_loses_none(run, pytester):
    """As pytest-benchmark asks for the processor, before it writes anything."""
    pytester.makeconftest("""
        import signal
        pytest_plugins = ["mpcore.plugin"]
        def pytest_benchmark_update_machine_info(config, machine_info):
            signal.raise_signal(signal.SIGINT)
    """)
    result = run(*ONE, "--benchmark-json", "run.json", isolated=True)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert load(pytester.path / "run.json").results
    result.stdout.fnmatch_lines(["*mixed precision*", "mpcore: Ctrl-C came while the results were written: they are whole"])


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            "torch.cuda.OutOfMemoryError('CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has 1.00 GiB free. "
            "If reserved but unallocated memory is large try this')",
            "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has 1.00 GiB free.",
        ),
        ("CaptureError('the step cannot be captured')", "the step cannot be captured"),
    ],
)
def test_what_befalls_a_case_is_one_sentence_and_the_others_go_on(run, pytester, error, sentence):
    pytester.makeconftest(f"""
        pytest_plugins = ["mpcore.plugin"]
        import torch
        from mpcore.execution import CaptureError
        from mpcore.precision.autocast import BF16Autocast
        def set_learning_rate(self, learning_rate):
            raise {error}
        BF16Autocast.set_learning_rate = set_learning_rate
    """)
    arguments = ("--mp-workload", "bert-imdb", "--mp-precision", "bf16-amp,fp16-amp", "-m", "numerics")
    result = run(*arguments, "--benchmark-json", "run.json", isolated=True)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines([f"bert-imdb-bf16-amp-eager-tiny: {sentence}"])
    result.stdout.no_fnmatch_line("*Traceback*")
    assert [r.record.case.precision for r in load(pytester.path / "run.json").results] == ["fp16-amp"]


def test_the_first_case_that_loses_the_gpu_ends_the_session(run, pytester):
    """As an illegal access of a kernel does: every later call of CUDA fails, and each case after it would fail for nothing."""
    pytester.makeconftest("""
        pytest_plugins = ["mpcore.plugin"]
        import mpcore.device.machine
        from mpcore.measure import Bench
        from mpcore.precision.autocast import BF16Autocast
        gone = []
        def set_learning_rate(self, learning_rate):
            gone.append(self)
            raise RuntimeError("CUDA error: unspecified launch failure")
        def release(self):
            raise RuntimeError("CUDA error: unspecified launch failure")
        BF16Autocast.set_learning_rate = set_learning_rate
        Bench.release = release
        mpcore.device.machine.lost = lambda device: bool(gone)
    """)
    arguments = ("--mp-workload", "bert-imdb", "--mp-precision", "fp32,bf16-amp,fp16-amp", "-m", "numerics")
    result = run(*arguments, "--benchmark-json", "run.json", isolated=True)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*the GPU is lost to this process since test_numerics?bert-imdb-bf16-amp-eager-tiny? failed*"])
    result.stdout.fnmatch_lines(["mpcore: 1 of 2 cases failed, 1 more was not reached"])
    assert "Exception ignored" not in result.stderr.str() + result.stdout.str()
    assert load(pytester.path / "run.json").missed == 1


def drifting(share):
    """In place of Bench.drift."""
    return lambda self, case: Drift(**self.setups.of(case.in_precision("fp32")).fields, shares={"fp32": share})


def test_the_drift_of_the_references_is_a_record_of_its_workload(run, pytester, monkeypatch):
    monkeypatch.setattr(Bench, "drift", drifting(0.0125))
    arguments = ("--mp-workload", "resnet18-mnist", "--mp-precision", "fp32,bf16-amp", "-m", "speed or numerics")
    result = run(*arguments, "--benchmark-json", "run.json")
    assert result.ret == 0
    records = [r.record for r in load(pytester.path / "run.json").results]
    assert [type(r) for r in records] == [Numerics, Numerics, Speed, Speed, Drift]
    assert records[-1].shares == {"fp32": 0.0125}
    result.stdout.fnmatch_lines(["resnet18-mnist (eager): from its beginning to its end fp32 took +1.25 %"])


def test_references_of_captured_steps_are_measured_once_and_again_at_the_end(run, pytester):
    """As on a GPU, but that a CPU captures nothing: the case is compared with what the session measured before."""
    pytester.makeconftest("""
        pytest_plugins = ["mpcore.plugin"]
        from mpcore.measure import Bench
        import mpcore.measure.speeds as bench
        from mpcore.measure.setups import Setups
        Setups.captured = lambda self, case: True
        measure, measured = bench.measure_speed, []
        def counting(setup, references, ceiling):
            measured.append(setup.case.precision)
            return measure(setup, references, ceiling)
        bench.measure_speed = counting
        def pytest_terminal_summary(terminalreporter):
            terminalreporter.write_line("measured: " + " ".join(measured))
    """)
    arguments = ("--mp-workload", "resnet18-mnist", "--mp-precision", "bf16-amp,bf16-true", "-m", "speed")
    result = run(*arguments, "--benchmark-json", "run.json", isolated=True)
    result.stdout.fnmatch_lines(["measured: fp32 bf16-amp bf16-true"])
    *speeds, drift = (r.record for r in load(pytester.path / "run.json").results)
    assert [list(r.references) for r in speeds] == [["fp32"]] * 2
    assert drift.case.precision == "fp32"
    assert -1 < drift.shares["fp32"] < 10


@pytest.mark.parametrize(("drift", "failed"), [(-0.06, 0), (-0.6, 1)])
def test_a_drift_fails_the_session_where_it_leaves_in_doubt_what_is_faster(run, pytester, monkeypatch, drift, failed):
    """Of a mode that is shown to be twice as fast."""
    measure = Bench.speed

    def twice_as_fast(self, case):
        speed = measure(self, case)
        if case.precision == "fp32":
            return speed
        slow = Blocks(steps=speed.blocks.steps, seconds=tuple(2 * s for s in speed.blocks.seconds))
        required = speed.requirements.model_copy(update={"must_beat": ("fp32",)})
        references = {"fp32": Reference(blocks=slow, rounds=speed.blocks)}
        return speed.model_copy(update={"references": references, "requirements": required})

    monkeypatch.setattr(Bench, "speed", twice_as_fast)
    monkeypatch.setattr(Bench, "drift", drifting(drift))
    arguments = ("--mp-workload", "ncf-movielens", "--mp-precision", "fp32,bf16-amp", "-m", "speed")
    result = run(*arguments, "--benchmark-json", "run.json", "--mp-markdown", "out.md")
    result.assert_outcomes(passed=2, errors=failed)
    headline = (
        "the session failed, though none of its 2 cases did" if failed else "2 cases passed, compared with no accepted run"
    )
    assert (pytester.path / "out.md").read_text().startswith(f"## {headline}\n")
    name = "drift:ncf-movielens-fp32-eager-tiny"
    assert [(f.test, f.name, f.strict) for f in load(pytester.path / "run.json").failed] == [(name, name, False)] * failed
    said = "ncf-movielens: a step of fp32 took 60.0 % less time at the end of the workload than at its beginning. So *"
    result.stdout.fnmatch_lines(
        [said] if failed else ["ncf-movielens (eager): from its beginning to its end fp32 took -6.00 %"]
    )


@pytest.mark.parametrize(("arguments", "rounds"), [((), [1, 2, 3]), (("--mp-seeds", "3"), [1])])
def test_trainings_that_decide_nothing_are_followed_by_more(run, monkeypatch, arguments, rounds):
    """Unless it was said how many there are to be."""
    measure, asked = Bench.accuracy, []

    def far_apart(self, case, rounds=1):
        quality = measure(self, case)
        asked.extend([rounds] * (case.precision == "bf16-manual"))
        reached = {t.seed: {**t.metrics, "accuracy": 0.5 + 0.1 * t.seed} for t in quality.trainings}
        trainings = tuple(t.model_copy(update={"metrics": reached[t.seed]}) for t in quality.trainings)
        reference = quality.reference.model_copy(update={"by_seed": {0: 0.7, 1: 0.6, 2: 0.5}})
        return quality.model_copy(update={"trainings": trainings, "reference": reference})

    monkeypatch.setattr(Bench, "accuracy", far_apart)
    result = run("--mp-workload", "resnet18-mnist", "--mp-precision", "bf16-manual", "-m", "accuracy", *arguments)
    result.assert_outcomes(failed=1)
    assert asked == rounds


def test_trainings_of_later_modes_are_made_before_more_seeds_are(run, monkeypatch, pytester):
    """They tell how far trainings spread, and are wanted anyway."""
    measure, asked = Bench.accuracy, []
    gained = {"bf16-amp": (0.0, 0.02, -0.02), "bf16-manual": (0.001, 0.0, -0.001)}

    def spread(self, case, rounds=1):
        quality = measure(self, case, rounds)
        asked.append((case.precision, rounds))
        if case.precision == "fp32":
            return quality
        reached = {t.seed: {**t.metrics, "accuracy": 0.6 + gained[case.precision][t.seed]} for t in quality.trainings}
        trainings = tuple(t.model_copy(update={"metrics": reached[t.seed]}) for t in quality.trainings)
        reference = quality.reference.model_copy(update={"by_seed": dict.fromkeys(range(3), 0.6)})
        return quality.model_copy(update={"trainings": trainings, "reference": reference})

    monkeypatch.setattr(Bench, "accuracy", spread)
    arguments = ("--mp-workload", "resnet18-mnist", "--mp-precision", "bf16-amp,bf16-manual", "-m", "accuracy")
    result = run(*arguments, "--benchmark-json", "run.json")
    result.assert_outcomes(passed=2)
    assert [each for each in asked if each[0] != "fp32"] == [("bf16-amp", 1), ("bf16-manual", 1), ("bf16-manual", 1)]
    saved = load(pytester.path / "run.json")
    assert [r.pooled for r in saved.results] == [("accuracy:resnet18-mnist-bf16-manual-eager-tiny",), ()]
    later = saved.results[1]
    assert later.cost.seconds >= sum(t.train_seconds for t in later.record.trainings), "though its test trained nothing"
    again = judge_run(saved, [], Policy())
    assert [r.checks for r in again.results] == [r.checks for r in saved.results]


@pytest.mark.parametrize("why", ["emulated", "inapplicable"])
def test_a_later_mode_that_is_not_trained_is_left_to_its_test(run, monkeypatch, why):
    measure, trained = Bench.accuracy, []

    def undecided(self, case, rounds=1):
        if case.precision == "bf16-manual":
            trained.append(case.precision)
            raise Inapplicable("nothing to cast")
        quality = measure(self, case)
        far = [t.model_copy(update={"metrics": {**t.metrics, "accuracy": 0.5 + 0.1 * t.seed}}) for t in quality.trainings]
        return quality.model_copy(update={"trainings": tuple(far)}) if case.precision == "bf16-amp" else quality

    monkeypatch.setattr(Bench, "accuracy", undecided)
    if why == "emulated":
        monkeypatch.setattr(Bench, "emulated", lambda self, case: "too slow" if case.precision == "bf16-manual" else None)
    result = run("--mp-workload", "resnet18-mnist", "--mp-precision", "bf16-amp,bf16-manual", "-m", "accuracy")
    result.assert_outcomes(failed=1, skipped=1)
    assert len(trained) == (0 if why == "emulated" else 2)


def test_an_execution_that_the_device_has_not_is_skipped_with_its_reason(run):
    result = run("--mp-execution", "graph", "--mp-precision", "fp32")
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    result.stdout.fnmatch_lines(["not run:", "  graph needs an NVIDIA GPU, for its CUDA graphs; this is a cpu (32 cases)"])


def test_cases_are_collected_without_pytests_warnings(run):
    """Whose marker nobody knows then."""
    asked = ("-m", "speed", "--mp-precision", "fp32", "--mp-workload", "ncf-movielens")
    done = run("--collect-only", "-q", "-p", "no:warnings", "--strict-markers", *asked, isolated=True)
    assert done.ret == 0


def test_synthetic_workloads_are_measured_where_they_are_named(run):
    names = run("--collect-only", "-q", "-m", "speed", "--mp-precision", "fp32").stdout
    names.no_fnmatch_line("*bert-s128*")
    named = run("--collect-only", "-q", "-m", "speed", "--mp-precision", "fp32", "--mp-workload", "bert-s128").stdout
    named.fnmatch_lines(["test_speed.py::test_speed?bert-s128-fp32-eager-tiny?"])
    every = run("--collect-only", "-q", "-m", "speed or parity", "--mp-precision", "fp32", "--mp-workload", "all").stdout
    every.fnmatch_lines(["test_parity.py::*bert-s128-fp32-eager-tiny*", "test_speed.py::test_speed?bert-s128-fp32-eager-tiny?"])
    accuracy = run("-m", "accuracy", "--mp-precision", "fp32", "--mp-workload", "bert-s128")
    accuracy.stdout.fnmatch_lines(["  the inputs of bert-s128 are random: there is nothing to be accurate about (1 case)"])


@pytest.mark.parametrize("options", [(), ("--mp-workload", "bert-imdb")], ids=["all", "another"])
def test_a_marker_that_names_no_workload_is_a_usage_error(run, pytester, options):
    pytester.makepyfile(
        test_own="""
        import pytest

        @pytest.mark.speed
        @pytest.mark.workloads("bert-imdb", "nope")
        def test_own(case):
            pass
    """
    )
    result = run("test_own.py", *options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = errors(result)
    said = "ERROR: test_own.py::test_own: its marker names the unknown workload 'nope'; known are bert-imdb, bert-imdb-1k"
    assert line.startswith(said)


def test_other_trainers_are_compared_with_on_request(run):
    result = run("--mp-workload", "bert-s128,bert-imdb", "--mp-precision", "fp32", "--collect-only", "-q")
    result.stdout.no_fnmatch_line("*test_parity*")
    assert run("--mp-precision", "fp32", "--collect-only", "-q", "--junitxml=parity.xml").parseoutcomes()["deselected"] == 12
    result.stdout.fnmatch_lines(["*4 deselected*"])
    result = run("--mp-workload", "bert-s128", "--mp-precision", "fp32,bf16-manual", "-m", "race", "-v")
    result.assert_outcomes(passed=1, skipped=1, deselected=10)
    result.stdout.fnmatch_lines(
        ["workload * ours * x", "bert-s128 * fp32*", "  bert-s128: plain PyTorch has no bf16-manual; Fabric has *"]
    )


def test_a_race_is_in_the_mode_of_its_marker_unless_one_is_named_and_one_for_all_executions(run):
    arguments = ("--collect-only", "-q", "test_parity.py", "-m", "race", "--mp-workload", "bert-s128")
    run(*arguments).stdout.fnmatch_lines(["test_parity.py::test_step?bert-s128-bf16-amp-eager-tiny?", "1/* tests collected *"])
    named = run(*arguments, "--mp-precision", "fp32", "--mp-execution", "graph,inductor,eager").stdout
    named.fnmatch_lines(["test_parity.py::test_step?bert-s128-fp32-inductor-tiny?", "1/* tests collected *"])


def test_a_library_that_is_not_installed_is_named(run, pytester):
    pytester.makeconftest("""
        pytest_plugins = ["mpcore.plugin"]
        from mpcore.trainers.fabric import Fabric
        Fabric.packages = ("no_such_library",)
    """)
    result = run("--mp-workload", "bert-s128", "--mp-precision", "fp32", "-m", "race", isolated=True)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["Not timed: no_such_library is not installed: pip install 'mpcore[[]parity[]]' (1 case)."])


@pytest.mark.parametrize("option", ["--benchmark-disable", "--benchmark-only"])
def test_pytest_benchmark_s_own_switches_work(run, option):
    result = run(option, "--mp-workload", "bert-imdb", "--mp-precision", "fp32", "-m", "numerics")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["fp32 * ok"])


def test_skipped_benchmarks_do_not_pass(run):
    assert run("--benchmark-skip", "--mp-precision", "fp32").ret == pytest.ExitCode.NO_TESTS_COLLECTED


def test_saved_runs_are_compared_by_pytest_benchmark(run, pytester):
    arguments = ("--mp-workload", "bert-imdb", "--mp-precision", "fp32", "-m", "numerics", "--benchmark-autosave")
    run(*arguments)
    result = run(*arguments, "--benchmark-compare")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*test_numerics?bert-imdb-fp32-eager-tiny? (0001_*"])


def test_other_people_s_tests_are_left_alone(pytester, monkeypatch):
    """An installed plugin must cost a project that has no cases nothing: no torch, no exit code, no section."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent.parent))
    pytester.makepyfile("""
        import sys
        def test_nothing_heavy_is_loaded():
            assert "mpcore.plugin" in sys.modules
            assert "torch" not in sys.modules
    """)
    result = pytester.runpytest_subprocess("-p", "mpcore.plugin")
    result.assert_outcomes(passed=1)
    assert "mixed precision" not in result.stdout.str()


def test_what_torch_traces_while_it_compiles_is_not_logged_in_any_phase(pytester, monkeypatch):
    """It is composed only where somebody listens: what is measured would take longer."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent.parent.parent))
    pytester.makepyfile("""
        import logging
        import pytest
        from torch._logging import trace_structured

        trace_structured("artifact", expect_trace_id=False)  # after which torch's own listener is gone

        def compiles():
            logging.getLogger("script").warning("compiles")
            trace_structured("artifact", lambda: pytest.exit("a trace was composed"), expect_trace_id=False)

        @pytest.fixture
        def compiled():
            compiles()
            yield
            compiles()

        def test_fails(compiled):
            compiles()
            assert False
    """)
    result = pytester.runpytest_subprocess("-p", "mpcore.plugin", "--log-file=log.txt", "--log-file-level=WARNING")
    result.assert_outcomes(failed=1)
    assert "compiles" in result.stdout.str()
    assert len((pytester.path / "log.txt").read_text().splitlines()) == 3


def test_progress_of_a_training_is_shown(run, pytester):
    pytester.makeconftest("""
        pytest_plugins = ["mpcore.plugin"]
        import mpcore.plugin.progress
        mpcore.plugin.progress.SECONDS_ELSEWHERE = 0.0
    """)
    result = run("--mp-workload", "resnet18-mnist", "--mp-precision", "fp32", "-m", "accuracy")
    result.stdout.fnmatch_lines(["  resnet18-mnist-fp32-eager-tiny, training 1 of 3: step 46 of 46, loss *, * s left"])


def test_the_command_line_is_documented():
    text = subprocess.run([sys.executable, "-m", "pytest", "--help"], capture_output=True, text=True, check=True).stdout
    for option in (
        "workload",
        "precision",
        "execution",
        "precision-target",
        "size",
        "device",
        "data",
        "checkpoint",
        "tolerance",
    ):
        assert f"--mp-{option}=" in text


def test_trainings_that_take_long_are_made_on_request(run):
    skipped = run("-m", "accuracy", "--mp-precision", "fp32", "--mp-workload", "ncf-movielens")
    skipped.stdout.fnmatch_lines(["  ncf-movielens is trained on request: --mp-accuracy ncf-movielens, or all (1 case)"])
    trained = run(
        "-m", "accuracy", "--mp-precision", "fp32", "--mp-workload", "ncf-movielens", "--mp-accuracy", "all", "--mp-seeds", "1"
    )
    trained.assert_outcomes(passed=1)


def test_modes_on_request_are_left_out_where_none_is_named(run):
    names = run("--collect-only", "-q", "-m", "speed", "--mp-workload", "gpt2-text").stdout
    names.no_fnmatch_line("*fp16-true*")
    everything = run("--collect-only", "-q", "-m", "speed", "--mp-workload", "gpt2-text", "--mp-precision", "all").stdout
    everything.fnmatch_lines(["*gpt2-text-fp16-true-eager-tiny*", "*gpt2-text-bf16-kahan-eager-tiny*"])


def test_what_is_compiled_is_measured_last(run):
    asked = ("--mp-workload", "gpt2-text,resnet18-mnist", "--mp-precision", "fp32", "--mp-execution", "compile,eager")
    names = [line for line in run("--collect-only", "-q", "-m", "speed or work", *asked).outlines if "[" in line]
    assert ["compile" in name for name in names] == [False] * 4 + [True] * 4
    assert [name.split("[")[0] for name in names[:4]] == [name.split("[")[0] for name in names[4:]]


def test_a_mode_that_has_nothing_to_do_is_skipped_with_its_reason(run, monkeypatch):
    monkeypatch.setattr(FP8, "unsupported", classmethod(lambda cls, device: None))
    result = run("-m", "numerics", "--mp-precision", "fp8", "--mp-workload", "resnet18-mnist")
    result.stdout.fnmatch_lines(["*resnet18-mnist: fp8 has nothing to do in ResNetForImageClassification: of its 1 linear*"])
    result.assert_outcomes(skipped=1)


def test_sizes_of_a_batch_are_cases_of_their_own(run):
    names = run(
        "--collect-only", "-q", "-m", "speed", "--mp-precision", "fp32", "--mp-workload", "gpt2-text", "--mp-batch", "4,8"
    ).stdout
    names.fnmatch_lines(["*gpt2-text-fp32-eager-tiny-b4*", "*gpt2-text-fp32-eager-tiny-b8*"])


def test_a_test_of_somebody_else_s_may_have_a_case_of_its_own(pytester):
    pytester.makepyfile(
        test_other="""
        import pytest

        @pytest.mark.parametrize("case", [1, 2])
        def test_parametrised(case):
            assert case in (1, 2)

        @pytest.fixture(name="case")
        def own():
            return 3

        def test_fixture(case):
            assert case == 3
        """
    )
    pytester.runpytest("-p", "mpcore.plugin").assert_outcomes(passed=3)


TERMINAL = ("--mp-size", "tiny", "--mp-device", "cpu", "--mp-data", "embedded", "-p", "no:cacheprovider", "--color=auto")
ONE = ("--mp-workload", "ncf-movielens", "--mp-precision", "fp32", "-m", "numerics")
NONE_ACCEPTED = "## 1 case passed, compared with no accepted run"


@pytest.mark.parametrize(
    ("options", "pattern"),
    [
        (("--benchmark-autosave",), ".benchmarks/*/0002_*.json"),
        (("--benchmark-save", "a [b]"), ".benchmarks/*/0002_a [b].json"),
        (("--benchmark-storage", "elsewhere", "--benchmark-autosave"), "elsewhere/*/0002_*.json"),
        (("--benchmark-json", "run.json"), "run.json"),
    ],
)
def test_where_the_run_was_saved_is_said_with_what_to_type_next(run, pytester, options, pattern):
    run(*ONE, *options)
    result = run(*ONE, *options)
    (said,) = [line.removeprefix("saved: ") for line in result.stdout.lines if line.startswith("saved: ")]
    assert [r.record.case.precision for r in load(pytester.path / said).results] == ["fp32"]
    assert fnmatch(said, pattern.replace("[", "[[]"))
    result.stdout.fnmatch_lines(
        ["next:", "  python -m mpcore report * -o report.html", "  python -m mpcore accept * --reason TEXT"]
    )
    result.stdout.no_fnmatch_line("nothing was saved*")


def test_two_files_are_both_named(run):
    result = run(*ONE, "--benchmark-autosave", "--benchmark-json", "run.json")
    result.stdout.fnmatch_lines(["saved: .benchmarks/*/0001_*.json", "saved: run.json"])


def named(json, here):
    benchmark = SimpleNamespace(benchmarks=[1], save=None, autosave=None, json=json)
    plugins = SimpleNamespace(get_plugin={"pytest-benchmark": benchmark}.get)
    started = SimpleNamespace(dir=here)
    return saved_files(SimpleNamespace(pluginmanager=plugins, invocation_params=started, stash=pytest.Stash()))


def test_a_file_that_pytest_benchmark_holds_open_is_named(tmp_path):
    """As its versions before 5.3 do."""
    with (tmp_path / "run.json").open("wb") as file:
        assert named(file, tmp_path) == ["run.json"]


def test_a_file_is_named_with_its_folder(tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "run.json").touch()
    there = Path("runs", "run.json")
    assert named(there, tmp_path) == named(str(there), tmp_path) == ["runs/run.json"]
    assert named(tmp_path / "run.json", tmp_path / "runs") == [str(tmp_path / "run.json")]


@pytest.mark.parametrize("options", [(), ("--benchmark-disable", "--benchmark-autosave")])
def test_a_run_that_was_not_saved_is_said(run, options):
    result = run(*ONE, *options)
    result.stdout.fnmatch_lines(["nothing was saved: --benchmark-autosave saves a run *"])
    result.stdout.no_fnmatch_line("saved: *")


def test_failures_come_last_in_one_sentence_each(run, pytester):
    pytester.makeconftest("""
        pytest_plugins = ["mpcore.plugin"]
        from mpcore.precision.autocast import BF16Autocast
        def set_learning_rate(self, learning_rate):
            raise KeyError("no such layer")
        BF16Autocast.set_learning_rate = set_learning_rate
    """)
    arguments = ("--mp-workload", "bert-imdb", "--mp-precision", "bf16-amp,fp16-amp", "-m", "numerics")
    result = run(*arguments, "--benchmark-autosave", isolated=True)
    sentence = "  test_numerics?bert-imdb-bf16-amp-eager-tiny?: KeyError: 'no such layer' (conftest.py, line 4:"
    result.stdout.fnmatch_lines(["failed:", sentence, "    raise *", "", "saved: *", "next:"])
    result.stdout.no_fnmatch_line("  python -m mpcore accept *")


def test_the_session_is_written_as_markdown(run, pytester):
    (pytester.path / "out.md").write_text("of another session")
    result = run(*ONE, "--mp-markdown", "out.md")
    assert result.ret == 0
    text = (pytester.path / "out.md").read_text()
    assert text.startswith(f"{NONE_ACCEPTED}\n\n<details><summary>ncf-movielens (tiny, eager, on ")
    assert "another session" not in text
    assert text.endswith("--mp-markdown out.md`\n")


def test_the_page_of_a_job_gets_it_too(run, pytester, monkeypatch):
    page = pytester.path / "page.md"
    page.write_text("of another step\n\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(page))
    run(*ONE, "--collect-only")
    assert page.read_text() == "of another step\n\n"
    for _ in range(2):
        run(*ONE)
    assert page.read_text().startswith(f"of another step\n\n{NONE_ACCEPTED}\n")
    assert page.read_text().count(f"\n{NONE_ACCEPTED}\n") == 2


@pytest.mark.parametrize("file", ["nowhere/out.md", "."])
def test_markdown_that_cannot_be_written_is_said_before_anything_is_measured(run, file):
    result = run(*ONE, "--mp-markdown", file)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = errors(result)
    assert line.startswith(f"ERROR: --mp-markdown {file!r}: cannot write ")
    result.stdout.no_fnmatch_line("*1 passed*")


@pytest.mark.parametrize(
    ("options", "asked", "path"),
    [
        (("--benchmark-json", "nowhere/run.json"), "--benchmark-json 'nowhere/run.json'", "nowhere/run.json"),
        (("--benchmark-json", "."), "--benchmark-json '.'", ""),
        (("--benchmark-autosave", "--benchmark-storage", "file"), "--benchmark-autosave", "file/"),
        (("--benchmark-save", "x", "--benchmark-storage", "file/runs"), "--benchmark-save", "file/runs/"),
    ],
)
def test_a_run_that_cannot_be_saved_is_said_before_anything_is_measured(run, pytester, options, asked, path):
    (pytester.path / "file").write_text("of somebody else")
    result = run(*ONE, *options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = errors(result)
    assert line.startswith(f"ERROR: {asked}: cannot write {pytester.path / path}")
    result.stdout.no_fnmatch_line("*1 passed*")
    assert (pytester.path / "file").read_text() == "of somebody else"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_what_was_measured_is_shown_where_the_disk_is_full(run):
    result = run(*ONE, "--benchmark-json", "/dev/full")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        ["*== mixed precision ==*", "mpcore: the results could not be written: No space left on device"]
    )
    result.stdout.no_fnmatch_line("saved:*")
    assert "Traceback" not in result.stdout.str() + result.stderr.str()


def test_a_session_that_is_refused_leaves_no_folder_and_no_file_for_its_run(run, pytester):
    (pytester.path / "folder" / "imdb").mkdir(parents=True)
    result = run(*ONE, "--benchmark-autosave", "--benchmark-json", "run.json", "--mp-data", "folder")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert not (pytester.path / "run.json").exists()
    assert not list(pytester.path.glob(".benchmarks/*"))


def test_a_page_of_a_job_that_cannot_be_written_is_said_too(run, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "/nowhere/page.md")
    result = run(*ONE)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert errors(result) == ["ERROR: $GITHUB_STEP_SUMMARY: cannot write /nowhere/page.md: No such file or directory"]


def test_a_session_that_is_refused_leaves_no_markdown(run, pytester):
    run(*ONE, "--mp-margin", "errors=much", "--mp-markdown", "out.md")
    run(*ONE, "--mp-markdown", "out.md", "--collect-only")
    assert not (pytester.path / "out.md").exists()


def test_markdown_is_written_where_a_session_is_interrupted(run, pytester):
    pytester.makeconftest("""
        pytest_plugins = ["mpcore.plugin"]
        def pytest_runtest_setup(item):
            if "bf16" in item.name:
                raise KeyboardInterrupt
    """)
    arguments = ("--mp-workload", "bert-imdb", "--mp-precision", "fp32,bf16-amp,fp16-amp", "-m", "numerics")
    result = run(*arguments, "--mp-markdown", "out.md", "--benchmark-autosave", isolated=True)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    text = (pytester.path / "out.md").read_text()
    assert text.startswith("## not finished: 1 case passed, 2 more were not reached\n")
    assert "| fp32 " in text
    said = "mpcore: not finished: 1 case passed, 2 more were not reached"
    result.stdout.fnmatch_lines(["saved: *", "next:", "  python -m mpcore report *", said])
    result.stdout.no_fnmatch_line("  python -m mpcore accept *")


def test_verdicts_have_colours_where_pytest_has(run, monkeypatch):
    for name in ("NO_COLOR", "FORCE_COLOR", "PY_COLORS"):
        monkeypatch.delenv(name, raising=False)
    assert "\x1b[32mok\x1b[0m" in run(*ONE, "--color=yes").stdout.str()
    assert "\x1b" not in run(*ONE).stdout.str()  # no terminal
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[32mok\x1b[0m" in run(*ONE, options=TERMINAL).stdout.str()
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in run(*ONE, options=TERMINAL).stdout.str()
