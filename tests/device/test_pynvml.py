"""Without the package nvidia-ml-py there is no NVML, and nothing else is lost."""

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch

from mpcore.device import machine, network, nvml, occupancy, pynvml
from mpcore.doctor import gpu, host
from mpcore.records import Selection
from mpcore.runner import Runner

ROOT = Path(__file__).parent.parent.parent
CPU, GPU = torch.device("cpu"), torch.device("cuda")
MISSING = "nvidia-ml-py cannot be imported: ModuleNotFoundError: import of pynvml halted; None in sys.modules"
SMALL = ("--mp-size", "tiny", "--mp-device", "cpu", "--mp-data", "embedded", "--mp-precision", "fp32")


@pytest.fixture
def missing(monkeypatch):
    """On a GPU that torch knows."""
    monkeypatch.setitem(sys.modules, "pynvml", None)
    for module in (machine, network, nvml, occupancy, gpu, host):
        monkeypatch.setattr(module, "pynvml", pynvml.imported())
    monkeypatch.setattr(torch, "zeros", lambda *_, device: None)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid="0123"))
    monkeypatch.setattr(torch.cuda, "get_per_process_memory_fraction", lambda device: 1.0)


def test_doctor_says_it_in_one_sentence(missing):
    assert list(gpu.gpu_spoilers(GPU, load=True)) == [
        f"NVML does not answer: {MISSING}: clocks, power, temperature and other processes are not known"
    ]


def test_figures_that_need_it_are_missing(missing, monkeypatch):
    sampler = nvml.NvmlSampler(GPU)
    assert (sampler.reason, sampler.sample(), sampler.summary()) == (f"NVML does not answer: {MISSING}", False, None)
    assert set(nvml.settings_of("0123").values()) == {None}
    assert occupancy._others(GPU) == ((), False)
    assert network._links(GPU) == "not known"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert list(host._hidden_gpu(CPU)) == []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda.nccl, "version", lambda: (2, 28, 9))
    assert machine.software().keys() >= {"torch", "cuda", "cudnn", "nccl"}
    assert "driver" not in machine.software()


def test_a_driver_s_version_in_bytes_is_kept_as_text(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda.nccl, "version", lambda: (2, 28, 9))
    told = SimpleNamespace(NVMLError=RuntimeError, nvmlInit=lambda: None, nvmlSystemGetDriverVersion=lambda: b"580.95.05")
    monkeypatch.setattr(machine, "pynvml", told)
    assert machine.software()["driver"] == "580.95.05"


def test_whoever_looks_what_it_has_finds_nothing():
    assert not hasattr(pynvml.Missing("why"), "nvmlInit")


def test_a_name_that_an_older_one_lacks_is_an_error_of_nvml():
    assert not hasattr(pynvml.pynvml, "nvmlOfTomorrow")
    with pytest.raises(pynvml.pynvml.NVMLError, match="the installed nvidia-ml-py has no nvmlOfTomorrow"):
        _ = pynvml.pynvml.nvmlOfTomorrow


def test_another_module_of_its_name_is_no_nvml(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", ModuleType("pynvml"))
    assert isinstance(pynvml.imported(), pynvml.Missing)


@pytest.mark.parametrize("name", ["nvmlDeviceGetNvLinkState", "NVML_NVLINK_MAX_LINKS", "NVML_FEATURE_ENABLED"])
def test_links_that_cannot_be_asked_for_are_not_known(monkeypatch, name):
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid="0123"))
    monkeypatch.setattr(network, "handle", lambda uuid: uuid)
    monkeypatch.delattr("pynvml." + name)
    assert network._links(GPU) == "not known"


def test_nobody_imports_it_past_this_one():
    lines = {
        line for path in (ROOT / "mpcore").rglob("*.py") for line in path.read_text().splitlines() if "import pynvml" in line
    }
    assert {line.removesuffix(", text_of") for line in lines} == {"from mpcore.device.pynvml import pynvml"}


@pytest.fixture(
    params=["raise ModuleNotFoundError('no package')", "raise ImportError('no library')"], ids=["missing", "broken"]
)
def without(request, tmp_path, monkeypatch):
    """For processes that are started."""
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / "pynvml.py").write_text(request.param)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, (tmp_path / "first", ROOT))))


def ran(folder, *arguments):
    done = subprocess.run([sys.executable, *map(str, arguments)], cwd=folder, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stdout + done.stderr
    return done


def test_doctor_a_session_and_a_comparison_go_on(without, tmp_path):
    asked = (*SMALL, "--mp-workload", "ncf-movielens")
    assert "1 case will run." in ran(tmp_path, "-m", "mpcore", "doctor", *asked).stdout
    session = (
        "-m",
        "pytest",
        "-p",
        "mpcore.plugin",
        "--noconftest",
        ROOT / "benchmarks" / "test_work.py",
        "--benchmark-autosave",
    )
    assert "1 passed" in ran(tmp_path, *session, *asked).stdout
    (saved,) = tmp_path.glob(".benchmarks/**/*.json")
    assert ran(tmp_path, "-m", "mpcore", "compare", saved).returncode == 0


def test_a_process_that_measures_goes_on(without):
    named = {"workloads": ("ncf-movielens",), "precisions": ("fp32",), "size": "tiny", "device": "cpu", "data": "embedded"}
    with Runner(ROOT, Selection(**named)) as runner:
        assert "torch" in runner.listing().machine.software
