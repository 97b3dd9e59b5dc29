"""One training step: a workload bound to a precision."""

import copy
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mpcore.data import Batch
from mpcore.errors import root_cause, where
from mpcore.execution.eager import Eager, executions
from mpcore.execution.graph import CaptureError
from mpcore.precision import Inapplicable, Precision, PrecisionError
from mpcore.precision.casting import cast_module_inputs
from mpcore.precision.optimisers import WeightGroup, keep_on_device
from mpcore.strategies import LossModule, Strategy
from mpcore.training.alike import check_alike
from mpcore.training.anomaly import forward_line
from mpcore.training.base import Step
from mpcore.training.formats import (
    called_modules,
    formats_differ,
    fp32_modules,
    lacks_a_kernel,
    mixes_formats,
    mixes_formats_by_itself,
    only_wider,
)
from mpcore.training.generators import draw_apart, generators, seed_everything, set_generators
from mpcore.training.of_workload import WorkloadStep
from mpcore.training.parts import parts
from mpcore.workloads import Workload
from mpcore.workloads.checked import (
    WorkloadError,
    checked_groups,
    checked_loss,
    checked_model,
    checked_optimiser,
    checked_prediction,
)


def seeded_model(workload: Workload, precision: Precision, device: torch.device, seed: int) -> nn.Module:
    """The workload's model on `device`, with the weights that it has from `seed`, as `precision` patches it. Raises
    WorkloadError, and Inapplicable for a patch that changes nothing."""
    seed_everything(seed)
    precision.keep_fp32 = tuple(dict.fromkeys([*workload.keep_fp32, *precision.keep_fp32]))
    with torch.device(device):
        model = precision.patched(checked_model(workload))
    return model.to(device)


def by_recipe(precision: Precision, workload: Workload, model: nn.Module) -> None:
    """Tells a mode which optimiser the workload wants for the weights of `model`, and how gradients are clipped."""
    precision.recipe = workload.recipe
    precision.max_norm = workload.recipe.max_norm if precision.max_norm is None else precision.max_norm
    groups = [WeightGroup(*group) for group in checked_groups(workload, model)]
    precision.weight_groups = () if groups == [WeightGroup(groups[0].names)] else groups
    if type(workload).optimiser is not Workload.optimiser:
        precision.own_optimiser = functools.partial(checked_optimiser, workload)


class TrainStep(WorkloadStep):
    """One training step of `workload` in `precision`: batch in, loss out (0-dim, on the device, not waited for).

    The model is built from `seed`. With `accumulate` = n, by itself the recipe's, a batch goes through in n parts. Their
    gradients are added up to those of the whole batch. The precision's process-wide settings hold inside a call and nowhere
    else. A step that was captured writes its loss, and its predictions, to the same place at every call: what is to be kept is
    copied.
    """

    capabilities = Step.ALL

    def __init__(
        self,
        workload: Workload,
        precision: Precision,
        device: torch.device,
        *,
        seed: int = 0,
        execution: str = Eager.name,
        accumulate: int | None = None,
        dropout: bool = True,
        strategy: Strategy | None = None,
    ) -> None:
        self.label = workload.name
        self.accumulate = accumulate or workload.recipe.accumulation
        self.strategy = strategy or Strategy(device)
        self.spread = strategy is not None
        precision = self.strategy.mode(precision)
        model = self.strategy.convert(seeded_model(workload, precision, device, seed))
        if self.spread:
            check_alike(workload, model)
        super().__init__(workload, precision, model, device, dropout=dropout)
        self.loss_module = LossModule(self.model, self._loss)
        self._prepare(precision, workload)
        how = executions[execution]
        if how.captures(device) and (reason := precision.uncapturable):
            raise CaptureError(reason)
        how.prepare(self.model)
        with how.stream(device):
            self._forward = self.strategy.wrap(self.loss_module, precision)
        if strategy is not None and not precision.draws:
            draw_apart(seed)
        self._execute = how(self._step, self.model, layout=lambda: precision.layout)
        self._gradients_predict = False
        predicting = how.launched() if self.strategy.shards else how  # Python gathers weights for it, and gives them back
        self._execute_prediction = predicting(self._predict, self.model)

    def _prepare(self, precision: Precision, workload: Workload) -> None:
        """The mode takes the model over, and its optimiser is seen to be one that can train it."""
        recipe = workload.recipe
        found = fp32_modules(workload, precision, self.model, self.device) if precision.casts else ()
        precision.keep_fp32 = tuple(dict.fromkeys([*precision.keep_fp32, *found]))
        by_recipe(precision, workload, self.model)
        precision.shard = functools.partial(self.strategy.shard, self.loss_module, precision)
        with precision.reraised("prepare"):
            precision.prepare(self.model, recipe)
        if not isinstance(getattr(precision, "optimiser", None), torch.optim.Optimizer) or not hasattr(precision, "model"):
            missing = "a model, and an optimiser of torch.optim"
            raise PrecisionError(f"{precision.name}: prepare() did not set {missing}: expected it to call super().prepare()")
        if reason := precision.refused():
            raise Inapplicable(reason)
        keep_on_device(precision.optimiser)
        if found:
            self._keep_on_purpose(precision, found)
        precision.set_learning_rate(recipe.learning_rate)
        if precision.casts and not self.strategy.shards and mixes_formats(workload, precision, self.device):
            cast_module_inputs(self.model, precision.dtype)

    def _keep_on_purpose(self, precision: Precision, found: Sequence[str]) -> None:
        """Raises Inapplicable where that is the whole model."""
        modules = [
            name for name, module in self.model.named_modules() if next(module.parameters(recurse=False), None) is not None
        ]
        if set(modules) <= set(found):
            raise Inapplicable(f"{precision.name} finds nothing to cast in {self.label}: all of it is in FP32 on purpose")
        for kept in precision.kept:
            kept.as_called = kept.name in found

    def set_rate(self, share: float) -> None:
        self.precision.set_learning_rate(self.workload.recipe.learning_rate * share)

    def weights(self) -> Mapping[str, Tensor]:
        return self.precision.weights()

    def gradients(self) -> Mapping[str, Tensor]:
        return self.precision.gradients()

    @property
    def optimisers(self) -> Sequence[torch.optim.Optimizer]:
        return [self.precision.optimiser]

    @property
    def remark(self) -> str | None:
        return "; ".join(filter(None, [self.precision.remark, self.strategy.remark, super().remark])) or None

    @property
    def loss_scale(self) -> Tensor | None:
        return self.precision.loss_scale

    @property
    def skipped(self) -> Tensor | None:
        return self.precision.skipped

    def state_dict(self) -> dict[str, Any]:
        """Copies of all that decides how the training goes on: weights, buffers, masters, the optimiser's memory, the loss
        scale with its counters, and generators of random numbers. Waits for the device."""
        model = {name: copy.deepcopy(value) for name, value in self.model.state_dict().items()}
        mode = self.precision.name
        return {"mode": mode, "model": model, "precision": self.precision.state_dict(), "generators": generators(self.device)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from there, as a graph, too. Raises ValueError for the state of another mode."""
        if state["mode"] != self.precision.name:
            raise ValueError(f"a state of {state['mode']} cannot be loaded: expected one of {self.precision.name}")
        self.model.load_state_dict(state["model"])
        self.precision.load_state_dict(state["precision"])
        set_generators(state["generators"], self.device)

    def _predict(self, batch: Batch) -> Tensor:
        """Without gradients, but for a model that takes some to predict, as forces are those of an energy."""
        try:
            return self._predicted(batch)
        except WorkloadError as error:
            if self._gradients_predict or "require grad" not in str(root_cause(error)):
                raise
        self._gradients_predict = True
        return self._predicted(batch)

    def _predicted(self, batch: Batch) -> Tensor:
        with torch.set_grad_enabled(self._gradients_predict), self.precision.forward():
            predict = functools.partial(checked_prediction, self.workload, self.model)
            predicted = self.strategy.predicted(self.loss_module, predict, batch).detach()
        if self._gradients_predict:
            self.model.zero_grad()  # or the next step would train on what is left
        return predicted

    def _step(self, batch: Batch) -> Tensor:
        try:
            return self._trained(batch)
        except (WorkloadError, PrecisionError) as error:
            if lacks_a_kernel(error, self.device) and self.precision.dtype.itemsize < 4:
                first = root_cause(error)
                reason = f"torch on a CPU lacks a kernel that {self.label} needs in {self.precision.name}"
                lacking = str(first).strip().splitlines()[0].partition(". ")[0]  # a library's advice follows
                raise Inapplicable(f"{reason}: {lacking}{where(first)}") from error
            raise

    def _trained(self, batch: Batch) -> Tensor:
        """The loss of the batch that the weights have learnt from."""
        total: Tensor | None = None
        *others, last = parts(batch, self.accumulate)
        for part, share in (*others, last):
            with self.strategy.micro_batch(last=part is last[0]):
                with self.precision.forward():
                    self.before_loss()
                    loss = self._forward(part) * share
                self._backward(loss, part)
            self.precision.check_kept()
            total = loss.detach() if total is None else total + loss.detach()
        self.strategy.reduce()
        with self.precision.reraised("update"):
            self.precision.update()
        assert total is not None  # a batch has at least one part
        return total

    def _loss(self, batch: Batch) -> Tensor:
        try:
            return checked_loss(self.workload, self.model, batch)
        except WorkloadError as error:
            if self.precision.casts and only_wider(error):
                what = f"{self.label} asks for what torch does not compute in {self.precision.dtype}"
                expected = "expected its module in keep_fp32, or a cast to FP32 before it"
                raise Inapplicable(f"{self.precision.name}: {what}; {expected} ({error})") from error
            if formats_differ(error) and (self.precision.casts or self.precision.kept):
                raise self._formats_differ(error) from error
            raise

    def _backward(self, loss: Tensor, part: Batch) -> None:
        try:
            with self.precision.reraised("backward"):
                self.precision.backward(loss)
        except PrecisionError as error:
            if more := self._more(error, part):
                raise PrecisionError(more) from error
            raise

    def _more(self, error: PrecisionError, part: Batch) -> str:
        """It with the line of the forward pass, where a backward pass finds that what it needs was written over; or with what
        to do, where one that its author wrote knows nothing of autocast. "" for any other."""
        if not self.precision.casts and formats_differ(error):
            expected = "expected torch.amp.custom_fwd and custom_bwd around the two of its torch.autograd.Function"
            return f"{error}; autocast casts in a forward pass alone: {expected}"
        if "inplace operation" not in str(error):
            return ""

        def again() -> None:
            with self.precision.forward():
                loss = self._loss(part)
            self.precision.backward(loss)

        line = forward_line(again)
        return f"{str(error).split(' Hint:')[0]}{line}" if line else ""

    def _formats_differ(self, error: WorkloadError) -> Exception:
        """The mode's mistake, where the same model runs in 16 bits. Else the model mixes formats by itself, and the mode has no
        way to train it."""
        self._check_never_called()
        precision = self.precision
        kept = ", ".join(kept.name for kept in precision.kept) or "nothing"
        met = f"{precision.name} keeps {kept} in FP32, and 16 bits meet FP32 in the model"
        if not precision.casts or mixes_formats_by_itself(self.workload, precision, self.device):
            return Inapplicable(f"{met}; expected the module that needs FP32 in keep_fp32, or a cast ({error})")
        return PrecisionError(
            f"{met}, which runs as model.to({precision.dtype}); expected prepare() to cast all of it ({error})"
        )

    def _check_never_called(self) -> None:
        """The loss has failed before it came to all modules: those that it calls where it does not fail are no mistake."""
        if not all(kept.called for kept in self.precision.kept):
            called = called_modules(self.workload, self.device)
            for kept in self.precision.kept:
                kept.reached |= kept.name not in called
            self.precision.check_kept()
