"""A process that gets ready touches no GPU: another may be measuring on it."""

import subprocess
import sys
import threading

import pytest
import torch

from mpcore.records import Case, Listing, Request, Selection
from mpcore.runner import responses
from mpcore.workloads import workloads

CONTEXTS = """
import torch
from mpcore.records import Request, Selection
from mpcore.runner.responses import Responder

responder = Responder(Selection.model_validate_json({selection!r}))
before = torch._C._cuda_hasPrimaryContext(0)
responder.response(Request())
print("contexts", before, torch._C._cuda_hasPrimaryContext(0))
"""


def test_cases_are_listed_when_they_are_asked_for(monkeypatch):
    asked = []
    monkeypatch.setattr(responses, "cases", lambda *of: asked.append(of) or [])
    responder = responses.Responder(Selection(device="cpu", size="tiny", workloads=("resnet18-mnist",)))
    assert asked == []
    assert isinstance(responder.response(Request()), Listing)
    assert isinstance(responder.response(Request()), Listing)
    assert len(asked) == 1


def test_data_are_loaded_meanwhile_by_one_thread(monkeypatch):
    threads = torch.get_num_threads()
    loading, go_on = threading.Event(), threading.Event()
    of_loader = []

    def load(self):
        loading.set()
        go_on.wait(60)
        of_loader.append(torch.get_num_threads())

    monkeypatch.setattr(workloads["resnet18-mnist"], "load", load)
    responder = responses.Responder(Selection(device="cpu", size="tiny", workloads=("resnet18-mnist",)))
    assert loading.wait(60)
    assert isinstance(responder.response(Request()), Listing)
    assert torch.get_num_threads() == threads
    monkeypatch.setattr(responder._bench, "time", lambda case, **options: list(of_loader))
    go_on.set()
    case = Case(workload="resnet18-mnist", precision="fp32", size="tiny")
    assert responder.response(Request(kind="timing", case=case)) == [1]  # it has waited for them
    assert torch.get_num_threads() == threads


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_no_context_is_made_before_that(tmp_path):
    """Not for an own step either, which is built where nobody says how it is run."""
    own = tmp_path / "own.py"
    own.write_text(
        "import torch\nfrom mpcore import OwnStep, register\n\n\n@register\nclass Line(OwnStep):\n"
        '    name, unit, units_per_batch, precisions = "line", "rows", 8, ("fp32",)\n\n'
        "    def build(self, precision, device):\n"
        "        model = torch.nn.Linear(4, 1).to(device)\n"
        "        return lambda x: model(x).mean()\n\n"
        "    def batches(self, device):\n        return [torch.ones(8, 4, device=device)]\n"
    )
    selection = Selection(workloads=("line", "resnet18-mnist"), load=(str(own),), data="embedded").model_dump_json()
    command = [sys.executable, "-c", CONTEXTS.format(selection=selection)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert "contexts False True" in ended.stdout, ended.stderr[-2000:]
