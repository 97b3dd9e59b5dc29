"""A LightningModule with its loader, through Lightning Fabric."""

import inspect
from abc import abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from mpcore.device import agreement
from mpcore.errors import where
from mpcore.execution import CaptureError
from mpcore.precision import Inapplicable
from mpcore.workloads import OwnStep, WorkloadError
from mpcore.workloads.checked import described

FIRST = ("on_fit_start", "on_train_start", "on_train_epoch_start")
"""Hooks that come before the first step, once module and optimiser are on the device."""
REFUSED = (
    "backward",
    "clip_gradients",
    "configure_callbacks",
    "configure_gradient_clipping",
    "configure_sharded_model",
    "lr_scheduler_step",
    "on_after_backward",
    "on_after_batch_transfer",
    "on_before_backward",
    "on_before_batch_transfer",
    "on_before_optimizer_step",
    "on_before_zero_grad",
    "on_train_batch_end",
    "on_train_batch_start",
    "optimizer_step",
    "optimizer_zero_grad",
    "transfer_batch_to_device",
)
"""Methods that change a step where Lightning's Trainer calls them, and that Fabric does not call."""
INSTEAD = "write the step that it stands for as an OwnStep. Its build() returns a function of a batch"
NO_TRAINER = ("is not attached to a `Trainer`", "code tried to access `self.trainer.")
"""What Lightning says where a module asks for its Trainer, before Fabric has it and after."""


class LightningStep(OwnStep):
    """A script that trains a LightningModule with automatic optimisation. `configure_optimizers`, with its schedule, and
    `training_step` are called as Lightning's Trainer calls them, and so are the hooks before them. Steps are counted
    as it counts them, and epochs, which have whole steps only. What only that Trainer calls in a step is refused by name."""

    precisions = ("fp32", "tf32", "fp16-amp", "bf16-amp")
    modes: ClassVar[dict[str, Any]] = {"fp16-amp": "16-mixed", "bf16-amp": "bf16-mixed"}
    """By precision, what Fabric calls it; any other is its default."""
    gradient_clip_val: ClassVar[float | None] = None
    """As of Lightning's Trainer, like the next: the Euclidean norm that gradients are clipped to."""
    accumulate_grad_batches: ClassVar[int] = 1

    @abstractmethod
    def module(self) -> Any:
        """A new LightningModule with random weights, on the CPU; the seed is set. One that Fabric cannot follow is refused with
        a WorkloadError."""

    @abstractmethod
    def loader(self) -> Iterable[Any]:
        """A new loader of what its `training_step` takes, on the CPU: Fabric moves it. The seed is set. It is asked for in each
        epoch, and data that it draws must be the same in all of them."""

    def build(self, precision: str, device: torch.device) -> Callable[[Any], Tensor]:
        if (precision, device.type) == ("fp16-amp", "cpu"):
            raise Inapplicable("Fabric computes in BF16 on a CPU where it is told FP16")
        spread = self.distributed and agreement.ranks() > 1
        mode, strategy = self.modes.get(precision, "32-true"), "ddp" if spread else None
        self._fabric = fabric_on(device, mode, spread=strategy, of=_counting_fabric())
        self._module = self.module()
        self._check(self._module)
        self._module.to(device)  # whose `device` says so from then on
        if self._fabric.local_rank == 0:
            self._hook("prepare_data")
        self._fabric.barrier()
        self._hook("setup", stage="fit")
        self._hook("configure_model")
        self._optimiser, schedules = self._configured()
        model, optimiser = self._fabric.setup(self._module, self._optimiser)
        self._module.fabric = self._module.trainer = self._fabric  # or those inside it, too, find all counts to be 0
        for hook in FIRST:
            self._hook(hook)
        numbered = _takes_a_number(self._module.training_step)
        parts, norm = self.accumulate_grad_batches, self.gradient_clip_val
        epoch, counts = self._epoch() // parts, self._fabric.counts

        def step(batch: list[Any]) -> Tensor:
            loss = None
            done = counts["global_step"]
            counts["current_epoch"], of_epoch = divmod(done, epoch)
            if done and not of_epoch:
                self._hook(FIRST[-1])
            for number, part in enumerate(batch):
                unreduced = self._fabric.no_backward_sync(model, enabled=spread and number < len(batch) - 1)
                with unreduced:
                    with self._fabric.autocast():
                        returned = model.training_step(part, *[of_epoch * parts + number] * numbered)
                    own = self._loss(returned) / parts
                    self._fabric.backward(own)
                loss = own.detach() if loss is None else loss + own.detach()
            if norm is not None:
                self._fabric.clip_gradients(model, optimiser, max_norm=norm)
            optimiser.step()
            optimiser.zero_grad()
            counts["global_step"] = done = done + 1
            for scheduler, every in schedules:
                if done * parts % every == 0:
                    scheduler.step()
            assert loss is not None
            return loss

        return step

    def batches(self, device: torch.device) -> Iterable[Any]:
        loaded: list[Any] = []
        for part in self._own_loader():
            loaded.append(self._fabric.to_device(part))
            if len(loaded) == self.accumulate_grad_batches:
                yield loaded
                loaded = []

    def _own_loader(self) -> Any:
        """On ranks each has its share of it."""
        loader = self.loader()
        if self._fabric.world_size == 1:
            return loader
        if not isinstance(loader, DataLoader) or isinstance(loader.dataset, IterableDataset):
            raise WorkloadError(
                f"{self.name}: on ranks Fabric gives each its share of a DataLoader with a dataset of known length: "
                f"loader() returned {described(loader)}"
            )
        return self._fabric.setup_dataloaders(loader, move_to_device=False)

    def optimisers(self) -> torch.optim.Optimizer:
        return self._optimiser

    def parameters(self) -> nn.Module:
        return self._module

    def _check(self, module: Any) -> None:
        from lightning.pytorch import LightningModule

        name = type(module).__name__
        if not isinstance(module, LightningModule):
            raise WorkloadError(f"{self.name}: module() returned a {name}: expected a LightningModule")
        if not module.automatic_optimization:
            raise WorkloadError(f"{self.name}: {name} optimises manually, which Fabric cannot follow: {INSTEAD}")
        if "dataloader_iter" in inspect.signature(module.training_step).parameters:
            raise WorkloadError(f"{self.name}: training_step() of {name} asks for the loader itself: {INSTEAD}")
        for hook in REFUSED:
            if getattr(type(module), hook) is not getattr(LightningModule, hook):
                raise WorkloadError(f"{self.name}: {name} has a {hook}() of its own, which Fabric does not call: {INSTEAD}")

    def _loss(self, returned: Any) -> Tensor:
        loss = returned.get("loss") if isinstance(returned, dict) else returned
        if not isinstance(loss, Tensor):
            expected = "expected a loss, for a step that its Trainer would skip is none"
            raise WorkloadError(f"{self.name}: training_step() returned {described(returned)}: {expected}")
        return loss

    def _hook(self, name: str, **options: Any) -> Any:
        """What a hook of the module returns. One that needs the Trainer is told so."""
        try:
            return getattr(self._module, name)(**options)
        except (RuntimeError, AttributeError) as error:
            if not any(said in str(error) for said in NO_TRAINER):
                raise
            expected = "expected the value itself, such as total_steps=1000, for Fabric has no Trainer"
            raise WorkloadError(f"{self.name}: {name}() asks self.trainer{where(error)}: {expected}") from error

    def _configured(self) -> tuple[torch.optim.Optimizer, list[tuple[Any, int]]]:
        """The optimiser of `configure_optimizers`, and each schedule with the loader's batches after which it goes on."""
        optimisers, schedules = _listed(self._hook("configure_optimizers"))
        if len(optimisers) != 1:
            found = f"configure_optimizers() returned {len(optimisers)} optimisers"
            raise WorkloadError(f"{self.name}: {found}: expected one; with several, {INSTEAD}")
        return optimisers[0], [self._every(schedule) for schedule in schedules]

    def _every(self, schedule: Any) -> tuple[Any, int]:
        given = schedule if isinstance(schedule, dict) else {"scheduler": schedule}
        scheduler = given["scheduler"]
        if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
            raise WorkloadError(f"{self.name}: ReduceLROnPlateau waits for a validation, and there is none: {INSTEAD}")
        batches = 1 if given.get("interval", "epoch") == "step" else self._epoch()
        return scheduler, batches * given.get("frequency", 1)

    def _epoch(self) -> int:
        """Batches of an epoch that come to a whole step; a loader that does not say how long it is has one epoch."""
        loader: Any = self._own_loader()
        if not hasattr(loader, "__len__"):
            return 2**63
        parts = self.accumulate_grad_batches
        return max(1, len(loader) // parts) * parts


def fabric_on(device: torch.device, precision: Any, *, spread: Any = None, of: Any = None) -> Any:
    """Fabric on one device, or on the ranks that torchrun has started. spread: its strategy there, None for one device. of: the
    class that makes it."""
    from lightning.fabric import Fabric

    where: dict[str, Any] = {"devices": 1 if device.index is None or device.type == "cpu" else [device.index]}
    if spread is not None:
        here = agreement.local_ranks()
        where = {"strategy": spread, "devices": here, "num_nodes": agreement.ranks() // here}
    fabric = (of or Fabric)(accelerator=device.type, precision=precision, **where)
    fabric.launch()
    return fabric


def _counting_fabric() -> Any:
    """Fabric that counts what a module asks its Trainer for, which finds Fabric in the Trainer's place."""
    from lightning.fabric import Fabric

    class Counting(Fabric):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.counts = {"global_step": 0, "current_epoch": 0}

        @property
        def global_step(self) -> int:
            return self._read("global_step")

        @property
        def current_epoch(self) -> int:
            return self._read("current_epoch")

        def _read(self, count: str) -> int:
            if torch.cuda.is_initialized() and torch.cuda.is_current_stream_capturing():
                raise CaptureError(f"it reads {count} on the host, where a graph would freeze it")
            return self.counts[count]

    return Counting


def _takes_a_number(training_step: Callable[..., Any]) -> bool:
    """Whether a batch comes with its number, which may have any name."""
    from lightning.pytorch.utilities.signature_utils import is_param_in_hook_signature

    return is_param_in_hook_signature(training_step, "batch_idx", min_args=2)


def _listed(configured: Any) -> tuple[list[Any], list[Any]]:
    """Optimisers and schedules, in whichever way `configure_optimizers` returned them."""
    if isinstance(configured, dict):
        return [configured["optimizer"]], [configured["lr_scheduler"]] if "lr_scheduler" in configured else []
    if isinstance(configured, list | tuple) and len(configured) == 2 and isinstance(configured[0], list | tuple):
        optimisers, schedules = configured
        return list(optimisers), list(schedules) if isinstance(schedules, list | tuple) else [schedules]
    if isinstance(configured, list | tuple):
        pairs = [_listed(each) for each in configured]
        return [one for of, _ in pairs for one in of], [one for _, of in pairs for one in of]
    return [] if configured is None else [configured], []
