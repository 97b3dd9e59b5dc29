"""The suite by another trainer."""

from pathlib import Path

from mpcore.__main__ import main
from mpcore.store import load

PLAIN = ("--mp-workload", "ncf-movielens", "--mp-precision", "fp32", "--mp-trainer", "plain")


def test_cases_of_a_trainer_are_compared_with_accepted_ones_of_the_same(run, pytester):
    first = run(*PLAIN, "-m", "numerics or work", "--benchmark-json", "run.json")
    assert first.ret == 0
    first.stdout.fnmatch_lines(["ncf-movielens (tiny, eager, by plain*"])
    saved = load(pytester.path / "run.json")
    assert {result.record.case.trainer for result in saved.results} == {"plain"}
    assert "--mp-trainer plain" in saved.command
    baselines = str(pytester.path / "baselines")
    assert main(["accept", str(pytester.path / "run.json"), "--baselines", baselines, "--reason", "the first"]) == 0
    again = run(*PLAIN, "-m", "numerics or work", "--mp-strict")
    assert again.ret == 0
    again.stdout.fnmatch_lines(["against 1 accepted run of baselines/*: * same"])
    own = run("--mp-workload", "ncf-movielens", "--mp-precision", "fp32", "-m", "numerics")
    assert own.ret == 0
    own.stdout.fnmatch_lines(["new*"])
    assert "gone, though" not in own.stdout.str()


def test_the_versions_of_its_packages_are_recorded(run, pytester):
    arguments = ("--mp-workload", "ncf-movielens", "--mp-precision", "fp32", "--mp-trainer", "huggingface")
    assert run(*arguments, "-m", "work", "--benchmark-json", "run.json").ret == 0
    saved = load(pytester.path / "run.json")
    assert "accelerate" in saved.machine.software
    assert "accelerate" in saved.results[0].record.software


def test_what_is_not_there_is_one_sentence(run):
    refused = run(*PLAIN[:-1], "nobody", "-m", "numerics")
    assert refused.ret == 4
    refused.stderr.fnmatch_lines(["ERROR: unknown trainer 'nobody'; known are mpcore, plain, fabric, accelerate, huggingface"])
    skipped = run(*PLAIN, "--mp-execution", "compile", "-m", "numerics")
    assert skipped.ret == 5
    skipped.stdout.fnmatch_lines(["  plain PyTorch does not say that its step can be run by compile (1 case)"])


def test_a_trainer_is_not_compared_with_itself(run, pytester):
    race = run(*PLAIN, "test_parity.py", "-m", "race", "--benchmark-json", "run.json")
    race.assert_outcomes(passed=1, deselected=1)
    (result,) = load(pytester.path / "run.json").results
    assert [entrant.case.trainer for entrant in result.record.ours] == ["plain"]
    assert [entrant.case.trainer for entrant in result.record.theirs] == ["fabric", "accelerate", "huggingface"]
    training = ("--mp-workload", "bert-imdb", "--mp-trainer", "huggingface", "-k", "training")
    run(*PLAIN, "test_parity.py", *training).stdout.fnmatch_lines(["*Trainer is not compared with itself (1 case)"])


def test_a_workload_of_one_s_own_is_raced_where_it_is_named(run, pytester):
    name = "my_model.py"
    (pytester.path / name).write_text((Path(__file__).parent.parent.parent / "examples" / name).read_text())
    options = ("--mp-load", name, "test_parity.py", "-k", "step", "--collect-only", "-q")
    named = run("--mp-workload", "stripes", *options, isolated=True).stdout.str()
    assert "test_step[stripes-bf16-amp" in named
    assert "stripes" not in run(*options, "--mp-workload", "resnet50", isolated=True).stdout.str()


def test_a_failure_names_the_trainer_and_ends_with_a_command_that_does(run, pytester):
    example = (Path(__file__).parent.parent.parent / "examples" / "my_trainer.py").read_text()
    broken = example.replace("enabled=self.dtype is not None)", "enabled=False)")
    assert broken != example
    (pytester.path / "stack.py").write_text(broken)
    arguments = ("--mp-workload", "ncf-movielens", "--mp-precision", "bf16-amp", "--mp-trainer", "our-stack", "-m", "numerics")
    result = run("--mp-load", "stack.py", *arguments, isolated=True)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "ncf-movielens by our-stack: bf16-amp does 0 % of its FLOPs in 16 bits, expected 90 to 100 %",
            "pytest *[[]ncf-movielens-bf16-amp-eager-tiny-by-our-stack[]]* --mp-trainer our-stack * --mp-load *stack.py",
        ]
    )
