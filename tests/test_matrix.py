"""The cases that a selection names."""

import pytest
import torch

import mpcore.device.machine
from mpcore.matrix import cases, check, possible, resolve, workloads_of
from mpcore.precision import Inapplicable, precisions
from mpcore.records import Case, Selection
from mpcore.selection import SelectionError
from mpcore.workloads import OwnStep, workloads

CPU = torch.device("cpu")


def test_a_name_that_nothing_is_registered_under_is_refused_or_left_out():
    selection = Selection(workloads=("bert-imdb", "bert"), precisions=("all",), load=("nowhere.py",))
    there, unknown = resolve(selection)
    assert (there.workloads, there.precisions) == (("bert-imdb",), ("all",))
    assert list(unknown) == ["load nowhere.py", "workloads bert"]
    assert unknown["workloads bert"].startswith("unknown workload 'bert'; ")
    assert "nowhere.py': there is no such file; expected a Python file" in unknown["load nowhere.py"]
    with pytest.raises(SelectionError, match="nowhere"):
        check(selection)


def test_nothing_is_left_of_a_selection_of_which_nothing_is_there():
    """And not everything."""
    assert resolve(Selection(workloads=("bert",)))[0] is None


def test_cases_are_all_combinations_with_the_reason_where_one_cannot_run():
    selection = Selection(workloads=("bert-imdb", "ncf-movielens"), precisions=("fp32", "tf32"), batch_sizes=(8,))
    found = list(cases(selection, CPU))
    assert [case.id for case, _ in found] == [
        f"{workload}-{mode}-eager-tiny-b8" for workload in ("bert-imdb", "ncf-movielens") for mode in ("fp32", "tf32")
    ]
    assert [reason is None for _, reason in found] == [True, False] * 2


def test_trainers_are_an_axis_of_their_own_and_are_run_as_they_run():
    selection = Selection(workloads=("bert-imdb",), precisions=("fp32", "fp16-manual"), trainers=("plain", "mpcore"))
    found = dict(cases(selection, torch.device("cuda")) if torch.cuda.is_available() else cases(selection, CPU))
    how = "graph" if torch.cuda.is_available() else "eager"
    assert [case.id.replace("-full", "-tiny") for case in found] == [
        *("bert-imdb-fp32-eager-tiny-by-plain", "bert-imdb-fp16-manual-eager-tiny-by-plain"),
        *(f"bert-imdb-fp32-{how}-tiny", f"bert-imdb-fp16-manual-{how}-tiny"),
    ]
    assert list(found.values()) == [None, "plain PyTorch has no fp16-manual", None, None]


def test_without_names_mpcore_makes_the_step():
    assert {case.trainer for case, _ in cases(Selection(), CPU)} == {"mpcore"}


def test_all_trainers_are_all_that_are_registered():
    found = {case.trainer for case, _ in cases(Selection(workloads=("bert-imdb",), trainers=("all",)), CPU)}
    assert found == {"mpcore", "plain", "fabric", "accelerate", "huggingface"}


def test_an_execution_that_a_trainer_does_not_name_is_a_reason():
    selection = Selection(workloads=("bert-imdb",), precisions=("fp32",), trainers=("plain",), executions=("compile",))
    ((_, reason),) = cases(selection, CPU)
    assert reason == "plain PyTorch does not say that its step can be run by compile"


def test_a_trainer_that_is_not_there_is_refused():
    _, unknown = resolve(Selection(trainers=("lightning",)))
    assert unknown == {
        "trainers lightning": "unknown trainer 'lightning'; known are mpcore, plain, fabric, accelerate, huggingface"
    }


def test_those_of_a_test_are_its_own():
    assert {case.workload for case, _ in cases(Selection(), CPU, ["bert-s128"])} == {"bert-s128"}


MINE = """
from mpcore.workloads import OwnStep, workloads


@workloads.register
class Mine(OwnStep):
    name, unit, units_per_batch, precisions = "mine", "rows", 8, ("fp32",)
    build = batches = None
"""
MODE = """
from mpcore.precision import Precision, precisions


@precisions.register
class Mode(Precision):
    name = "my-mode"
"""


def test_a_file_that_is_named_measures_its_own_workloads_alone(tmp_path, monkeypatch):
    """One that is loaded for good, or has only modes, leaves out none."""
    for registry in (workloads, precisions):
        monkeypatch.setattr(registry, "_classes", dict(registry._classes))
    for name, text in (("its_step", MINE), ("its_mode", MODE)):
        (tmp_path / f"{name}.py").write_text(text)
    load = tuple(str(tmp_path / f"{name}.py") for name in ("its_step", "its_mode"))
    check(Selection(load=load))
    assert workloads_of(Selection(load=load, loaded_alone=("its_step", "its_mode"))) == ["mine"]
    assert workloads_of(Selection(load=load, loaded_alone=("its_mode",))) == workloads_of(Selection(load=load))
    assert {"mine", "bert-imdb"} < set(workloads_of(Selection(load=load)))
    assert workloads_of(Selection(workloads=("bert-imdb",), loaded_alone=("its_step",))) == ["bert-imdb"]


class Own(OwnStep):
    name, unit, units_per_batch, precisions = "own", "rows", 8, ("fp32", "mine")

    def build(self, precision, device):
        raise NotImplementedError

    def batches(self, device):
        raise NotImplementedError


@pytest.fixture
def own(monkeypatch):
    monkeypatch.setattr(workloads, "_classes", dict(workloads._classes))
    return workloads.register(Own)


def test_an_own_step_has_the_precisions_that_it_understands(own):
    for names in ((), ("all",)):
        found = list(cases(Selection(workloads=("own",), precisions=names), CPU))
        assert [(case.id, why) for case, why in found] == [("own-fp32-eager-tiny", None), ("own-mine-eager-tiny", None)]
    check(Selection(workloads=("own",), precisions=("mine",)))
    assert "own-mine-graph-full" in set(possible())


@pytest.mark.parametrize("error", [KeyError("width"), Inapplicable("not on this one")])
def test_an_own_step_that_cannot_be_built_stops_no_collection(monkeypatch, error):
    """It is built on a GPU, to see whether it can be captured."""

    class Fails(Own):
        name = f"fails-by-{type(error).__name__}"

        def build(self, precision, device):
            raise error

    monkeypatch.setattr(workloads, "_classes", dict(workloads._classes))
    workloads.register(Fails)
    found = list(cases(Selection(workloads=(Fails.name,)), torch.device("cuda", 0)))
    assert {case.execution for case, _ in found} == {"eager"}


def test_an_own_step_that_is_spread_is_built_in_no_collection(monkeypatch):
    """It needs a process group, and is spread as its author does it."""

    class Spread(Own):
        name, distributed = "spread", True

    monkeypatch.setattr(workloads, "_classes", dict(workloads._classes))
    workloads.register(Spread)
    ((case, why),) = cases(Selection(workloads=("spread",), precisions=("fp32",), gpus=(2,), strategies=("fsdp",)), CPU)
    assert (case.strategy, case.gpus, why) == ("own", 2, None)
    ((case, _),) = cases(Selection(workloads=("spread",), precisions=("fp32",)), torch.device("cuda", 0))
    assert case.execution == "graph"


def test_what_an_own_step_cannot_do_is_a_reason(own):
    selection = Selection(workloads=("own", "bert-imdb"), precisions=("mine", "bf16-amp"))
    reasons = {case.id: why for case, why in cases(selection, CPU)}
    assert reasons["own-mine-eager-tiny"] is None
    assert reasons["own-bf16-amp-eager-tiny"] == "own has no bf16-amp: its build() understands fp32, mine"
    assert reasons["bert-imdb-mine-eager-tiny"] == "mine is a precision of own steps only"
    selected = {"workloads": ("own",), "precisions": ("fp32",)}
    ((_, why),) = cases(Selection(**selected, batch_sizes=(4,)), CPU)
    assert why == "own makes its batches itself, of a size of its own"
    ((_, why),) = cases(Selection(**selected, executions=("compile",)), CPU)
    assert why == "own is run as graph or eager: what is to be compiled, its build() compiles"


def test_without_names_random_inputs_are_left_out():
    found = {case.workload for case, _ in cases(Selection(), CPU)}
    assert "bert-imdb" in found
    assert "bert-s128" not in found


def test_all_of_them_have_random_inputs_among_them():
    there, unknown = resolve(Selection(workloads=("all",), precisions=("fp32",)))
    assert unknown == {}
    found = {case.workload for case, _ in cases(there, CPU)}
    assert {"bert-imdb", "bert-s128"} <= found


class TestOnAGpuOfADataCentre:
    COMPILED = ("fp16-amp", "bf16-amp", "bf16-manual")

    @pytest.fixture(autouse=True)
    def _data_centre(self, monkeypatch):
        monkeypatch.setattr(mpcore.device.machine, "in_data_centre", lambda device: True)

    def compiled(self, **changes):
        options = {"compiled": changes.pop("compiled")} if "compiled" in changes else {}
        found = [case for case, _ in cases(Selection(**{"size": "full"} | changes), CPU, **options)]
        return {(case.workload, case.precision) for case in found if case.execution == "compile"}

    def test_every_workload_is_measured_compiled_too(self):
        expected = {case.workload for case, _ in cases(Selection(), CPU)}
        assert self.compiled() == {(workload, mode) for workload in expected for mode in self.COMPILED}

    def test_a_kind_of_test_may_measure_fewer_of_them(self):
        found = self.compiled(workloads=("bert-imdb",), compiled=("bf16-amp", "bf16-true"))
        assert found == {("bert-imdb", "bf16-amp")}

    def test_its_compiled_cases_follow_those_that_are_not(self):
        found = [case.execution for case, _ in cases(Selection(workloads=("bert-imdb",), size="full"), CPU)]
        assert found == ["eager"] * (len(found) - 3) + ["compile"] * 3

    @pytest.mark.parametrize(
        "changes", [{"executions": ("eager",)}, {"size": "tiny"}, {"trainers": ("plain",)}, {"compiled": ()}]
    )
    def test_none_is_where_something_else_is_asked_for(self, changes):
        assert not self.compiled(**changes)

    def test_what_a_user_has_brought_is_compiled_on_request(self, monkeypatch):
        class Mine(workloads["bert-imdb"]):
            name = "mine"

        class Mode(precisions["bf16-amp"]):
            name = "my-mode"

        for registry, entry in ((workloads, Mine), (precisions, Mode)):
            monkeypatch.setattr(registry, "_classes", dict(registry._classes))
            registry.register(entry)
        assert not self.compiled(workloads=("mine",))
        assert self.compiled(workloads=("bert-imdb",), precisions=("my-mode", "bf16-amp")) == {("bert-imdb", "bf16-amp")}


def test_a_mode_that_only_a_compiler_makes_fast_is_not_measured_otherwise(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _=None: (9, 0))
    selection = Selection(workloads=("bert-s128",), precisions=("fp8",), executions=("eager", "graph", "compile"))
    monkeypatch.setattr("mpcore.execution.Inductor.unsupported", classmethod(lambda cls, device: None))
    found = {case.execution: reason for case, reason in cases(selection, torch.device("cuda"))}
    assert found["compile"] is None
    assert found["graph"].startswith("fp8 is not measured as graph: its scaling is many small kernels")
    assert found["eager"].startswith("fp8 is not measured as eager: ")


def test_a_step_is_spread_over_each_number_of_gpus_by_each_strategy():
    """One number after the other, for the ranks are launched once for all of it."""
    names = {"workloads": ("bert-imdb", "bert-s128"), "precisions": ("fp32",)}
    found = [case.id for case, why in cases(Selection(**names, gpus=(1, 2), strategies=("ddp", "fsdp")), CPU) if why is None]
    assert found == [
        "bert-imdb-fp32-eager-tiny",
        "bert-s128-fp32-eager-tiny",
        "bert-imdb-fp32-eager-tiny-ddp2",
        "bert-imdb-fp32-eager-tiny-fsdp2",
        "bert-s128-fp32-eager-tiny-ddp2",
        "bert-s128-fp32-eager-tiny-fsdp2",
    ]
    fit = Case(workload="bert-imdb", precision="fp32", size="fit", strategy="fsdp", gpus=2)
    fit = fit.model_copy(update={"batch_size": workloads["bert-imdb"].fitting_batch(80)})
    assert {*found, fit.id} <= set(possible())
    (case,) = [case for case, _ in cases(Selection(**{**names, "workloads": ("bert-s128",)}, gpus=(4,)), CPU)]
    assert (case.strategy, case.gpus) == ("ddp", 4)


@pytest.mark.parametrize(
    ("workload", "precision", "strategy", "trainer", "why"),
    [
        ("bert-imdb", "fp32", "single", "mpcore", "single is a step on one GPU: expected --mp-strategy ddp or fsdp with 2"),
        ("bert-imdb", "fp32", "own", "mpcore", "own is the strategy of a step that exists already: expected --mp-strategy ddp"),
        ("bert-imdb", "bf16-amp", "fsdp", "plain", "plain PyTorch has no bf16-amp where weights are sharded"),
        ("bert-imdb", "bf16-amp", "fsdp", "mpcore", "bf16-amp casts weights at each use, and fsdp where they are gathered"),
        ("bert-imdb", "bf16-kahan", "fsdp", "mpcore", "bf16-kahan keeps all weights in one flat tensor, and fsdp lays out"),
        ("bert-imdb", "fp16-true", "fsdp", "mpcore", "fsdp has no fp16-true: expected one of fp32, tf32, bf16-true"),
        ("resnet50", "fp32", "ddp-syncbn", "mpcore", "ddp-syncbn needs GPUs: torch has no SyncBatchNorm on a CPU"),
        ("own", "fp32", "ddp", "mpcore", "own is a step on one GPU: its class does not say that build() spreads it"),
    ],
)
def test_what_cannot_be_spread_is_a_reason(own, workload, precision, strategy, trainer, why):
    selection = Selection(
        workloads=(workload,), precisions=(precision,), strategies=(strategy,), trainers=(trainer,), gpus=(2,)
    )
    ((_, reason),) = cases(selection, CPU)
    assert reason.startswith(why)
