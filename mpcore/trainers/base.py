"""Who makes the training step of a workload in a mode: mpcore, a library, or a training stack of one's own."""

import functools
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from importlib import metadata
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mpcore.data import Batch
from mpcore.device import agreement
from mpcore.execution import Eager, Inductor, ReduceOverhead
from mpcore.precision import Inapplicable, Precision, precisions
from mpcore.precision.autocast import Autocast
from mpcore.precision.casting import hold_fp32, matching
from mpcore.registry import Registry
from mpcore.strategies import LossModule, Strategy, strategies
from mpcore.trainers.loop import Loop, LoopStep, TrainerError, reraised
from mpcore.training.alike import check_alike
from mpcore.training.generators import draw_apart, same_draws
from mpcore.training.of_workload import WorkloadStep
from mpcore.training.parts import parts
from mpcore.training.rates import kept_as_built
from mpcore.training.step import by_recipe, seeded_model
from mpcore.workloads import Workload
from mpcore.workloads.checked import described

LAUNCHED = (Eager.name, Inductor.name, ReduceOverhead.name)
"""Executions of a loop that Python launches, as people write it, with the model compiled or not."""


class Trainer:
    """Who makes the training step of a workload. Subclasses say which modes they have, build a loop, and register:

        @trainers.register
        class Stack(Trainer): ...

    What is compared must be the same but for them: the model that they are given, the workload's loss, and its recipe.
    """

    name: ClassVar[str]
    title: ClassVar[str] = ""
    """What a sentence calls it; its name where it says nothing."""
    modes: ClassVar[Mapping[str, Any]]
    """By our modes, what the stack calls them."""
    gpu_only: ClassVar[tuple[str, ...]] = ()
    """Those of our modes that the stack has on a GPU alone, and takes for another on a CPU."""
    packages: ClassVar[tuple[str, ...]] = ()
    """That must be installed, as pip calls them, the one whose version counts first."""
    install: ClassVar[str] = ""
    """What pip installs them by; their own names where it says nothing."""
    strategies: ClassVar[tuple[str, ...]] = ()
    """How it spreads a step over ranks, as our strategies are called, such as `ddp`: build() is called on each rank then, once
    the process group is there."""
    sharded_modes: ClassVar[Mapping[str, Any] | None] = None
    """`modes` of a step whose weights are sharded over ranks, as by `fsdp`, where these are others."""
    strategy: str = Strategy.name
    """The one that is wanted of the step that is built; "single" for a step on one GPU."""
    executions: ClassVar[tuple[str, ...]] = (Eager.name,)
    """How its steps may be run: beside eager, `inductor` and `reduce-overhead`; `graph` and `compile` where nothing in them
    waits for the host."""

    def build(self, workload: Workload, model: nn.Module, precision: str, device: torch.device) -> Loop:
        """A Loop that trains `model` itself, and no copy of it, in the mode `precision`, one of `modes`. model: the workload's,
        in FP32 on `device`, from the seed. TF32 is set as the mode needs it, here and whenever the loop is called. What it
        raises is told as one sentence, a TrainerError; Inapplicable skips the case."""
        raise NotImplementedError

    def step(
        self,
        workload: Workload,
        precision: Precision,
        device: torch.device,
        *,
        seed: int = 0,
        execution: str = Eager.name,
        dropout: bool = True,
        strategy: Strategy | None = None,
    ) -> WorkloadStep:
        """A new step of `workload`. strategy: None for one on one GPU. Raises TrainerError, WorkloadError, PrecisionError."""
        self.strategy = Strategy.name if strategy is None else strategy.name
        model = seeded_model(workload, precision, device, seed)
        if strategy is not None:
            check_alike(workload, model)
        self._keep_fp32(model, workload, precision)

        def build() -> Loop:
            alone = agreement.alone() if strategy is None else nullcontext()
            within = reraised(f"{self.name}: build()")
            with alone, precision.settings(), same_draws(device), kept_as_built(), within:  # it may set a seed, and a rate
                loop = self.build(workload, model, precision.name, device)
            if not isinstance(loop, Loop):
                raise TrainerError(f"{self.name}: build() returned {described(loop)}: expected a Loop")
            return loop

        step = LoopStep(build, workload, precision, model, device, execution=execution, dropout=dropout)
        step.label = f"{workload.name} by {self.called()}"
        if strategy is not None:
            step.spread = True
            draw_apart(seed)
        return step

    @classmethod
    def called(cls) -> str:
        """In a sentence."""
        return cls.title or cls.name

    @classmethod
    def unsupported(cls, precision: str, execution: str, device: torch.device, strategy: str = Strategy.name) -> str | None:
        """Why it makes no step in this mode that is run and spread so on `device`, or None."""
        for package in cls.packages:
            if _version_of(package) is None:
                return f"{package} is not installed: pip install {cls.install or package}"
        sharded = strategies[strategy].shards and cls.sharded_modes is not None
        if precision not in (cls.sharded_modes or {} if sharded else cls.modes):
            return f"{cls.called()} has no {precision}{' where weights are sharded' if sharded else ''}"
        if precision in cls.gpu_only and device.type == "cpu":
            return f"{cls.called()} has no {precision} on a CPU"
        return None if execution in cls.executions else f"{cls.called()} does not say that its step can be run by {execution}"

    @classmethod
    def not_spread(cls, strategy: str) -> str | None:
        """Why it does not spread its step over ranks so, or None."""
        if strategy in cls.strategies:
            return None
        if cls.strategies:
            return f"{cls.called()} has no {strategy}: expected --mp-strategy {' or '.join(cls.strategies)}"
        return f"{cls.called()} does not say how its step is spread over GPUs: expected strategies = ('ddp',) in its class"

    @classmethod
    def versions(cls) -> dict[str, str]:
        """Of its packages, by name."""
        return {package: version for package in cls.packages if (version := _version_of(package)) is not None}

    @classmethod
    def version(cls) -> str:
        """Of the package that counts, "" where it has none."""
        return next(iter(cls.versions().values()), "")

    def _keep_fp32(self, model: nn.Module, workload: Workload, precision: Precision) -> None:
        """As autocast can; a stack that casts weights has ways of its own."""
        names = precision.keep_fp32
        if names and precision.low_precision_share:
            if not isinstance(precision, Autocast):
                raise Inapplicable(f"{self.called()} keeps no modules of {workload.name} in FP32 in {precision.name}")
            with reraised(f"{self.name}: keep_fp32"):
                hold_fp32(matching(model, names), next(model.parameters()).device.type)


def _version_of(package: str) -> str | None:
    """None where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def optimiser(workload: Workload, model: nn.Module, *, fused: bool = True) -> torch.optim.Optimizer:
    """The recipe's optimiser, or the workload's own, over all weights of `model` that are trained, at the recipe's rate. fused:
    by one kernel of torch, where it has one. Raises Inapplicable where it cannot train them."""
    mode = precisions["fp32"]()
    mode.model, mode.fused = model, fused  # type: ignore[misc]
    by_recipe(mode, workload, model)
    mode.optimiser = mode.make_optimiser(mode.trained(model), workload.recipe)
    if reason := mode.refused():
        raise Inapplicable(reason)
    return mode.optimiser


def loss_module(workload: Workload, model: nn.Module) -> LossModule:
    """What a library wraps on ranks: DDP averages what goes through a forward pass, and a loss may use all of the model."""
    return LossModule(model, functools.partial(workload.loss, model))


def backward_in_parts(
    loss_of: Callable[[Batch], Tensor],
    batch: Batch,
    count: int,
    backward: Callable[[Tensor], Any],
    forward: Callable[[], AbstractContextManager[Any]] = nullcontext,
    unreduced: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> Tensor:
    """The loss of `batch`, once its gradients are there: those of the `count` parts that it goes through the model in are added
    up. unreduced: makes the context of all parts but the last, whose gradients are not averaged over ranks."""
    total: Tensor | None = None
    *others, last = parts(batch, count)
    for part, share in (*others, last):
        with nullcontext() if part is last[0] else unreduced():
            with forward():
                loss = loss_of(part) * share
            backward(loss)
        total = loss.detach() if total is None else total + loss.detach()
    assert total is not None  # a batch has at least one part
    return total


def mistake(cls: type[Trainer]) -> str | None:
    """What is wrong with a class, if anything is: said when it is registered."""
    if cls.build is Trainer.build and cls.step is Trainer.step:
        return "it lacks the method build"
    for name, modes in (("modes", cls.modes), ("sharded_modes", cls.sharded_modes or {})):
        if not isinstance(modes, Mapping):
            return f"{name} is {modes!r:.80}: expected what it calls each mode, such as {{'bf16-amp': torch.bfloat16}}"
    return None


trainers = Registry("trainer", Trainer, mistake)
