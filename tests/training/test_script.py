"""A step of a script: what its author says of it is used as it is, and what is wrong with it is one sentence."""

import dataclasses
import itertools

import pytest
import torch
from torch import nn

from mpcore.execution.graph import WARM_UP, CaptureError
from mpcore.training.rates import Rates
from mpcore.training.script import ScriptStep, usual_execution
from mpcore.workloads import OwnStep, WorkloadError

CPU = torch.device("cpu")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")


@dataclasses.dataclass(frozen=True)
class Rows:
    x: torch.Tensor
    y: dict[str, torch.Tensor]


class Line(OwnStep):
    """Least squares, with two groups, one of which learns at a tenth of the rate."""

    name = "line"
    unit = "rows"
    units_per_batch = 8
    precisions = ("fp32", "bf16-amp")

    def make(self, device):
        return torch.optim.SGD([{"params": self.model.weight}, {"params": self.model.bias, "lr": 0.01}], lr=0.1)

    def build(self, precision, device):
        self.model = nn.Linear(4, 1).to(device)
        self.optimiser = self.make(device)
        self.learnt = torch.zeros((), device=device)

        def step(batch):
            loss = (self.model(batch.x) - batch.y["y"]).square().mean()
            loss.backward()
            self.between()
            self.optimiser.step()
            self.optimiser.zero_grad()
            self.learnt += 1
            return loss

        return step

    def between(self):
        """What a script does before it updates."""

    def batches(self, device):
        for _ in range(3):
            x = torch.randn(8, 4, device=device)
            yield Rows(x, {"y": x.sum(1, keepdim=True)})

    def optimisers(self):
        return self.optimiser

    def parameters(self):
        return self.model

    def state(self):
        return {"learnt": self.learnt}


def step_of(cls, device=CPU, **options):
    return ScriptStep(cls("tiny"), "fp32", device, **options)


def weights(step):
    return [w.detach().clone() for w in step.weights().values()]


def same(some, others):
    return all(torch.equal(a, b) for a, b in zip(some, others, strict=True))


def test_it_is_the_step_that_was_written_from_a_seed_over_batches_without_an_end():
    steps = [step_of(Line, seed=seed) for seed in (1, 1, 2)]
    losses = [[step(batch).item() for batch in itertools.islice(step.endless_batches(), 30)] for step in steps]
    assert losses[0] == losses[1] != losses[2]
    assert losses[0][-1] < 0.1 * losses[0][0]
    assert not steps[0](steps[0].batches[0]).requires_grad
    assert len(steps[0].batches) == 2
    assert steps[0].capabilities == {"rate", "optimisers", "model", "weights"}
    assert list(steps[0].weights()) == ["weight", "bias"]


def test_two_steps_of_a_class_do_not_share_what_it_keeps():
    first, second = step_of(Line), step_of(Line)
    first(first.batches[0])
    assert not same(weights(first), weights(second))


def test_at_rate_0_the_weights_stand_still_and_groups_keep_their_factors():
    step = step_of(Line)
    before, batch = weights(step), step.batches[0]
    step.set_rate(0.0)
    step(batch)
    assert same(weights(step), before)
    step.set_rate(0.5)
    assert [group["lr"] for group in step.optimisers[0].param_groups] == [0.05, 0.005]
    step(batch)
    assert not same(weights(step), before)


class Scheduled(Line):
    """That sets its rate at each step, and begins with little."""

    def between(self):
        for group in self.optimiser.param_groups:
            group["lr"] = 0.03

    def make(self, device):
        optimiser = super().make(device)
        for group in optimiser.param_groups:
            group["lr"] /= 100
        return optimiser


def test_a_schedule_inside_the_step_does_not_move_weights_at_rate_0():
    step = step_of(Scheduled)
    before = weights(step)
    step.set_rate(0.0)
    for _ in range(3):
        step(step.batches[0])
    assert same(weights(step), before)
    step.set_rate(1.0)
    assert [group["lr"] for group in step.optimisers[0].param_groups] == pytest.approx([0.1, 0.01])  # what it was made with


def test_rates_that_each_group_was_given_are_its_own():
    """And not what the optimiser has by itself, or was told, which none of them uses."""

    class Groups(Line):
        def make(self, device):
            groups = [{"params": [weight], "lr": lr} for weight, lr in zip(self.model.parameters(), (1e-4, 2e-4), strict=True)]
            return torch.optim.AdamW(groups, **self.rate)

    for Groups.rate in ({}, {"lr": 1e-2}):
        step = step_of(Groups)
        step.set_rate(1.0)
        assert [group["lr"] for group in step.optimisers[0].param_groups] == [1e-4, 2e-4]


class Bare(Line):
    def optimisers(self):
        return ()


def test_the_rate_of_an_optimiser_around_another_is_known():
    """Whose class has no `lr` of its own, as one that steps twice hands it on."""

    class Around(torch.optim.Optimizer):
        def __init__(self, params, **options):
            super().__init__(params, options)
            self.inner = torch.optim.SGD(self.param_groups, **options)
            self.param_groups = self.inner.param_groups

    optimiser = Around([torch.nn.Parameter(torch.ones(2))], lr=0.1)
    rates = Rates([optimiser])
    for share in (0.0, 1.0):
        rates.set(share)
        assert optimiser.inner.param_groups[0]["lr"] == share * 0.1


def test_without_optimisers_parameters_and_state_are_put_back():
    step = step_of(Bare)
    batch = step.batches[0]
    step.put_back()
    before = weights(step)
    step.set_rate(0.0)  # there is no rate to set
    step(batch)
    assert not same(weights(step), before)
    step.put_back()
    assert same(weights(step), before)
    assert step.own.learnt == 0
    assert "rate" not in step.capabilities
    assert step.remark is None


class Adversaries(Line):
    """Has a second optimiser, which it does not name."""

    def make(self, device):
        self.other = nn.Linear(1, 1).to(device)
        self.unnamed = torch.optim.SGD(self.other.parameters(), lr=0.1)
        return super().make(device)

    def between(self):
        self.other(torch.ones(1)).sum().backward()
        self.unnamed.step()

    def parameters(self):
        return [self.model, self.other]


def test_weights_that_no_named_optimiser_trains_are_put_back():
    step = step_of(Adversaries)
    step.set_rate(0.0)
    step.put_back()
    before = weights(step)
    step(step.batches[0])
    assert not same(weights(step), before)
    step.put_back()
    assert same(weights(step), before)


class Silent(Bare):
    def parameters(self):
        return ()

    def state(self):
        return ()


def test_what_nobody_can_hold_is_said():
    step = step_of(Silent)
    step(step.batches[0])
    step.put_back()
    assert step.remark == "its weights moved while it was timed: its class has no optimisers(), parameters() or state()"
    assert step.capabilities == set()


def test_a_precision_that_is_no_mode_is_said():
    """It may be the step's own, or a mode's name misspelt."""
    assert ScriptStep(Bare("tiny"), "bf16-apm", CPU).remark == (
        "no mode of mpcore has this name, and its settings are those of the process"
    )


class Remembers(Line):
    """Whose state is that of objects."""

    def state(self):
        return [self.optimiser, nn.BatchNorm1d(2)]

    def make(self, device):
        return torch.optim.SGD(self.model.parameters(), lr=0.1, momentum=0.9)

    def optimisers(self):
        return ()


def test_the_state_of_an_optimiser_is_put_back_in_place():
    step = step_of(Remembers)
    batch = step.batches[0]
    step(batch)
    step.put_back()
    momentum = step.own.optimiser.state[step.own.model.weight]["momentum_buffer"]
    before = momentum.clone()
    step(batch)
    assert not torch.equal(momentum, before)
    step.put_back()
    assert torch.equal(momentum, before)


def test_parameters_may_be_modules_or_tensors_with_or_without_names():
    def named(value):
        return step_of(type("Given", (Line,), {"name": "given", "parameters": lambda self: value(self)}))

    assert list(named(lambda s: [s.model, s.model]).weights()) == ["0.weight", "0.bias"]
    assert list(named(lambda s: {"head": s.model}).weights()) == ["head.weight", "head.bias"]
    assert list(named(lambda s: s.model.named_parameters()).weights()) == ["weight", "bias"]
    tensors = named(lambda s: s.model.parameters())
    assert list(tensors.weights()) == ["0", "1"]
    assert "model" not in tensors.capabilities


def test_the_settings_of_a_mode_hold_while_it_is_built_and_called_and_nowhere_else():
    seen = []

    class Looks(Line):
        def build(self, precision, device):
            seen.append(torch.get_float32_matmul_precision())
            return super().build(precision, device)

        def between(self):
            seen.append(torch.get_float32_matmul_precision())

    torch.set_float32_matmul_precision("medium")
    try:
        step = step_of(Looks)
        step(step.batches[0])
        assert seen == ["highest", "highest"]
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")


def test_an_optimiser_that_reads_its_rate_on_the_host_is_not_captured():
    class Matrix(Line):
        def make(self, device):
            return torch.optim.Muon([self.model.weight], lr=0.1)

    said = "where a graph would freeze it: expected --mp-execution eager, or execution = 'eager' in its class for good"
    with pytest.raises(CaptureError, match=f"Muon reads its learning rate on the host, {said}"):
        step_of(Matrix, execution="graph")


def returning(value):
    """A build() whose step returns `value`."""
    return lambda self, *_: lambda batch: value


def failing(self, *_):
    raise KeyError("width")


WRONG = {
    "no function": ("build", lambda self, *_: None, "build() returned NoneType None: expected a function of a batch"),
    "a build that fails": ("build", failing, "build() failed: KeyError: 'width' (test_script.py, line "),
    "a number": ("build", returning(0.5), "the step returned float 0.5: expected the loss, a 0-dim tensor, without .item()"),
    "losses": ("build", returning(torch.ones(2)), "the step returned a tensor of shape (2,) and torch.float32"),
    "a count": ("build", returning(torch.ones((), dtype=int)), "the step returned a tensor of shape () and torch.int64"),
    "a loss elsewhere": ("build", returning(torch.ones((), device="meta")), "returned a loss on meta: expected it on cpu, not"),
    "a step that fails": ("build", lambda self, *_: failing, "the step failed: KeyError: 'width' (test_script.py, line "),
    "no batches": ("batches", lambda self, device: [], "batches() gave none: expected one at least"),
    "not batches": ("batches", lambda self, device: 3, "batches() returned int 3: expected batches, one after the other"),
    "batches that fail": ("batches", lambda self, device: (1 / 0 for _ in "a"), "batches() failed: ZeroDivisionError: "),
    "batches elsewhere": (
        "batches",
        lambda self, device: [torch.ones(2, device="meta")],
        "tensors on meta: expected them on cpu",
    ),
    "a module for them": ("optimisers", lambda self: nn.Linear(1, 1), "returned Linear Linear(in_features=1, out_features=1"),
    "something else": ("optimisers", lambda self: ["sgd"], "returned str 'sgd': expected optimisers of torch.optim"),
    "no parameters": ("parameters", lambda self: ["weight"], "returned str 'weight': expected modules, or tensors"),
    "no state": ("state", lambda self: [3], "state() returned int 3: expected tensors, and what has a state_dict()"),
}


def use(cls):
    step = step_of(cls)
    step(step.batches[0])
    step.put_back()


@pytest.mark.parametrize(("method", "wrong", "sentence"), WRONG.values(), ids=WRONG.keys())
def test_a_mistake_is_one_sentence(method, wrong, sentence):
    with pytest.raises(WorkloadError) as refused:
        use(type("Wrong", (Silent,), {"name": "line", method: wrong}))
    assert str(refused.value).startswith("line: ")
    assert sentence in str(refused.value)


class OnDevice(Line):
    """Whose rates live where the step runs."""

    def make(self, device):
        return torch.optim.AdamW(self.model.parameters(), lr=torch.tensor(0.05, device=device), capturable=True)


@pytest.mark.cuda
@needs_gpu
class TestOnAGpu:
    device = torch.device("cuda")

    def test_it_is_captured_where_its_rate_lives_on_the_device(self):
        assert usual_execution(OnDevice("tiny"), self.device) == "graph"
        step = step_of(OnDevice, self.device, execution="graph")
        batches = list(itertools.islice(step.endless_batches(), 60))
        losses = [step(batch).clone() for batch in batches]
        assert step.captured
        eager = step_of(OnDevice, self.device)
        assert [loss.item() for loss in losses] == pytest.approx([eager(batch).item() for batch in batches], rel=1e-3)
        step.set_rate(0.0)
        before = weights(step)
        step(batches[0])
        assert same(weights(step), before)
        step.set_rate(1.0)
        step(batches[0])
        assert not same(weights(step), before)

    def test_a_number_on_the_host_is_run_eager_and_that_is_said(self):
        assert usual_execution(Line("tiny"), self.device) == "eager"
        assert step_of(Line, self.device).remark.startswith("eager, for SGD reads its learning rate on the host")

    def test_a_rate_that_python_sets_at_each_step_is_not_frozen(self):
        class Sets(OnDevice):
            def between(self):
                self.optimiser.param_groups[0]["lr"].fill_(0.01)

        step = step_of(Sets, self.device, execution="graph")
        step(step.batches[0])
        with pytest.raises(CaptureError, match="line sets its learning rate from Python"):
            step(step.batches[0])

    def test_a_rate_of_an_optimiser_that_nobody_named_is_not_frozen(self):
        step = step_of(type("Unnamed", (Line,), {"optimisers": lambda self: ()}), self.device, execution="graph")
        for _ in range(WARM_UP):
            step(step.batches[0])
        with pytest.raises(CaptureError, match=r"SGD reads its learning rate on the host, .* execution = 'eager' in its class"):
            step(step.batches[0])

    def test_without_optimisers_a_captured_step_is_put_back(self):
        class Held(OnDevice):
            def optimisers(self):
                return ()

            def state(self):
                return [self.optimiser]

        step = step_of(Held, self.device, execution="graph")
        for _ in range(WARM_UP + 2):
            step(step.batches[0])
        step.put_back()
        before = weights(step)
        first = step(step.batches[0]).clone()
        step.put_back()
        assert same(weights(step), before)
        assert torch.equal(step(step.batches[0]), first)
