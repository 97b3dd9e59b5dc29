"""One way to name what is measured, for pytest and for other commands."""

import argparse
import os
import subprocess
import sys

import pytest
import torch._inductor.runtime.cache_dir_utils

from mpcore.records import Selection
from mpcore.selection import (
    COMPILE_CACHE,
    OPTIONS,
    SelectionError,
    add_compile_cache_option,
    add_options,
    label_of,
    minutes_of,
    selection_of,
    use_compile_cache,
)


def parsed(*arguments):
    parser = argparse.ArgumentParser()
    add_options(parser.add_argument)
    return selection_of(parser.parse_args(arguments))


def test_nothing_named_is_the_default():
    assert parsed() == Selection()


def test_each_option_names_something():
    named = parsed(
        "--mp-workload", "bert-imdb, unet-membrane,bert-imdb", "--mp-precision", "fp32,all", "--mp-execution", "graph",
        "--mp-trainer", "plain, mine", "--mp-size", "full", "--mp-batch", "64,256", "--mp-device", "cuda", "--mp-data", "hub",
        "--mp-keep-fp32", "head,*.router", "--mp-strategy", "fsdp", "--mp-gpus", "1,2", "--mp-load", "a.py",
        "--mp-load", "b.py",
    )  # fmt: skip
    assert named == Selection(
        workloads=("bert-imdb", "unet-membrane"),
        precisions=("fp32", "all"),
        trainers=("plain", "mine"),
        executions=("graph",),
        size="full",
        batch_sizes=(64, 256),
        device="cuda",
        strategies=("fsdp",),
        gpus=(1, 2),
        data="hub",
        keep_fp32=("head", "*.router"),
        load=("a.py", "b.py"),
        loaded_alone=("a", "b"),
    )


def test_pytest_has_the_same_options(pytester):
    shown = pytester.runpytest_subprocess("-p", "mpcore.plugin", "--help").stdout.str()
    assert all(f"{option}=" in shown for option in OPTIONS)


@pytest.mark.parametrize(
    ("option", "text", "sentence"),
    [
        ("--mp-workload", " , ", "--mp-workload ' , ': expected names separated by commas"),
        ("--mp-batch", "0", "--mp-batch '0': expected sizes of a batch, such as 64,256"),
        ("--mp-gpus", "two", "--mp-gpus 'two': expected numbers of GPUs, such as 1,2"),
        ("--mp-strategy", "ddp", "--mp-strategy 'ddp' spreads nothing: expected --mp-gpus with 2 or more"),
        ("--mp-batch", "1e3", "--mp-batch '1e3': expected sizes of a batch, such as 64,256"),
    ],
)
def test_a_name_that_is_none_is_told(option, text, sentence):
    with pytest.raises(SelectionError) as refused:
        parsed(option, text)
    assert str(refused.value) == sentence


def test_ranks_choose_their_gpus_themselves():
    with pytest.raises(SelectionError, match="--mp-device 'cuda:1' is one GPU: expected cuda with --mp-gpus 1,2"):
        parsed("--mp-gpus", "1,2", "--mp-device", "cuda:1")


def test_help_names_the_modes_that_are_measured_by_default():
    from mpcore.precision import precisions

    default = [name for name in precisions.names() if not precisions[name].on_request]
    assert f"(default: {', '.join(default)} and your own)" in OPTIONS["--mp-precision"]["help"]


def test_help_names_the_trainers():
    from mpcore.trainers import trainers

    assert f": {', '.join(trainers.names())} or your own" in OPTIONS["--mp-trainer"]["help"]


def test_help_names_the_executions():
    from mpcore.execution import executions

    assert OPTIONS["--mp-execution"]["help"].startswith(", ".join(executions.names()))


@pytest.mark.parametrize(
    "module", ["selection", "project", "loading", "matrix", "runner", "ab", "commands", "calibrate.measured"]
)
def test_it_needs_no_torch(module):
    code = f"import sys, mpcore.{module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class TestCompileCache:
    @pytest.fixture(autouse=True)
    def _environment(self, monkeypatch, tmp_path):
        monkeypatch.setenv(COMPILE_CACHE, str(tmp_path / "torch's own"))

    def use(self, *arguments):
        parser = argparse.ArgumentParser()
        add_compile_cache_option(parser.add_argument)
        use_compile_cache(parser.parse_args(arguments))
        return os.environ[COMPILE_CACHE]

    def test_torch_and_all_processes_are_told_of_the_folder(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert self.use("--mp-compile-cache", "cache") == str(tmp_path / "cache")
        assert torch._inductor.runtime.cache_dir_utils.cache_dir() == str(tmp_path / "cache")

    def test_without_it_torch_decides(self, tmp_path):
        assert self.use() == str(tmp_path / "torch's own")

    def test_one_that_cannot_be_made_is_refused_before_torch_asks_for_it(self, tmp_path, monkeypatch):
        (tmp_path / "file").touch()
        monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "file" / "cache"))
        with pytest.raises(
            SelectionError, match=r"TORCHINDUCTOR_CACHE_DIR='.*cache': .*: expected a folder that torch can write"
        ):
            self.use()

    def test_one_that_cannot_be_written_to_is_refused_by_the_name_of_the_option(self, tmp_path, monkeypatch):
        def full(**_):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr("tempfile.TemporaryFile", full)
        with pytest.raises(SelectionError, match=r"--mp-compile-cache '.*cache': Permission denied: expected a folder"):
            self.use("--mp-compile-cache", str(tmp_path / "cache"))

    def test_an_empty_name_is_no_folder(self):
        with pytest.raises(SelectionError, match="--mp-compile-cache '': expected a folder"):
            self.use("--mp-compile-cache", "")

    def test_a_file_is_none(self, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(SelectionError, match="file': expected a folder, which need not be there yet"):
            self.use("--mp-compile-cache", str(tmp_path / "file"))


@pytest.mark.parametrize("label", ["GCP", "a/b", "", "-a", "a b", 41 * "a"])
def test_a_label_is_a_part_of_a_folder_s_name(label):
    assert label_of(argparse.Namespace(mp_label="gcp-a3")) == "gcp-a3"
    with pytest.raises(SelectionError, match="expected up to 40 lower-case letters, digits and hyphens"):
        label_of(argparse.Namespace(mp_label=label))


@pytest.mark.parametrize("minutes", [0.0, -1.0, float("nan"), float("inf")])
def test_minutes_are_a_time(minutes):
    with pytest.raises(SelectionError, match="expected a number of minutes above 0"):
        minutes_of(argparse.Namespace(mp_minutes=minutes))
