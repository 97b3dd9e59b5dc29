"""The base of all precision modes, which is plain FP32; a mode overrides only what differs.

A mode lives through four calls a step: `forward()` around the loss, `backward(loss)` once for each micro-batch,
`update()` once. None of them waits for the device: what a host wants to know (the loss scale, the skipped steps) stays in
device tensors until somebody reads `state()`.
"""

from collections.abc import Hashable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mpcore.device.machine import name_and_capability
from mpcore.errors import reraised_as
from mpcore.precision.casting import Kept
from mpcore.precision.tf32 import tf32_switches
from mpcore.records import Recipe
from mpcore.registry import Registry


@dataclass(frozen=True)
class ScaleState:
    """`loss_scale` is None in modes that do not scale."""

    loss_scale: float | None
    skipped_steps: int


MOMENTS = {"step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer"}
"""What torch's optimisers call what they remember of gradients; a state may hold more, such as masters."""


class PrecisionError(RuntimeError):
    """A mode whose methods fail: one sentence that names the mode and the method."""


class Inapplicable(ValueError):
    """A mode that has nothing to do in a model, or no way to train it: one sentence."""


class Precision:
    """Weights, arithmetic, gradients and optimiser state in `dtype`, TF32 off.

    keep_fp32: patterns (as of fnmatch) of qualified module names that compute in FP32 in a 16-bit mode.
    max_norm: the gradients, unscaled, are clipped to this Euclidean norm.
    """

    name: ClassVar[str]
    dtype: ClassVar[torch.dtype] = torch.float32
    tf32: ClassVar[bool] = False
    scales: ClassVar[bool] = False
    """Whether the loss is scaled."""
    low_precision_share: ClassVar[float] = 0.0
    """The least share of FLOPs that this mode must do in 16 bits to be what its name says."""
    masters: ClassVar[bool] = True
    """Whether updates are added up in FP32."""
    loses_updates: ClassVar[bool] = False
    """Whether small updates are known to be lost, and with them some accuracy."""
    negative_control: ClassVar[bool] = False
    """A negative control: known to fail, trained to show that failure is seen."""
    is_mixed: ClassVar[bool] = False
    """Whether it is mixed precision, which is expected to be faster than the FP32 modes where the workload says so."""
    has_ceiling: ClassVar[bool] = True
    """Whether a plain product in `dtype` shows what the matrix units reach in this mode."""
    on_request: ClassVar[bool] = False
    """Left out where no mode is named."""
    casts: ClassVar[bool] = False
    """Whether the model itself is cast, so that what its author does with autocast has no effect."""
    fused: ClassVar[bool] = True
    """The fused optimiser skips a step on the device; the others would wait for the host."""

    def __init__(self, *, keep_fp32: Sequence[str] = (), max_norm: float | None = None) -> None:
        self.keep_fp32 = tuple(keep_fp32)
        self.max_norm = max_norm
        self.kept: Sequence[Kept] = ()

    @classmethod
    def roundoff(cls) -> float:
        """Half the distance from 1 to the next number of the format that is computed in."""
        return torch.finfo(torch.float16 if cls.tf32 else cls.dtype).eps / 2  # TF32 has the mantissa of FP16

    @classmethod
    def unsupported(cls, device: torch.device) -> str | None:
        """Why not even a single step can run on `device`, or None."""
        if cls.dtype == torch.bfloat16 and device.type == "cuda" and not torch.cuda.is_bf16_supported(False):
            return f"{cls.name} needs native bf16 arithmetic (compute capability 8.0); this is {name_and_capability(device)}"
        if cls.dtype == torch.float16 and device.type == "cuda" and torch.cuda.get_device_capability(device) < (7, 0):
            return f"{cls.name} needs FP16 tensor cores (compute capability 7.0); this is {name_and_capability(device)}"
        return None

    def prepare(self, model: nn.Module, recipe: Recipe) -> None:
        """Takes the FP32 `model` over: casts it in place where the mode says so, and builds the optimiser."""
        self.model = model
        self.optimiser = self.build_optimiser([p for p in model.parameters() if p.requires_grad], recipe)

    def build_optimiser(self, weights: Sequence[Tensor], recipe: Recipe) -> torch.optim.Optimizer:
        """On a GPU its learning rate and its count of steps live there: a graph would freeze them on the host."""
        options: dict[str, Any] = {"fused": True} if self.fused else {"foreach": True}
        learning_rate: float | Tensor = recipe.learning_rate
        if weights[0].is_cuda:
            learning_rate = torch.tensor(recipe.learning_rate, device=weights[0].device)
            if recipe.optimiser != "SGD":  # which counts no steps
                options["capturable"] = True
        optimiser = getattr(torch.optim, recipe.optimiser)
        return optimiser(weights, lr=learning_rate, weight_decay=recipe.weight_decay, **options)

    def settings(self) -> AbstractContextManager[None]:
        """Within it the process is set as this mode needs it: here the TF32 switches. A step runs in it, and nothing else."""
        return tf32_switches(self.tf32)

    def forward(self) -> AbstractContextManager[Any]:
        """The context in which a loss or a prediction is computed."""
        return nullcontext()

    def reraised(self, method: str) -> AbstractContextManager[None]:
        """Within it, what `method` raises becomes a PrecisionError. Memory that runs out is no mistake of its author's."""
        return reraised_as(PrecisionError, f"{self.name}: {method}()", Inapplicable, torch.cuda.OutOfMemoryError)

    def fp32_on_purpose(self) -> bool:
        """Whether what runs now is in FP32 because somebody asked for it."""
        return any(kept.running for kept in self.kept)

    def check_kept(self, *, failed: bool = False) -> None:
        """Raises PrecisionError for a module that was to be kept in FP32, is never called, and whose weights are used all the
        same: a gradient has come to them, or the loss has `failed`."""
        for kept in self.kept:
            if not kept.called and (kept.reached or failed):
                raise PrecisionError(
                    f"{self.name}: {kept.name!r} cannot be kept in FP32, for it is never called: its weights are used by "
                    "another module; expected the name of a module that is called"
                )

    def backward(self, loss: Tensor) -> None:
        """Adds the gradients of one micro-batch, whose `loss` is already weighted by its share of the batch."""
        loss.backward()

    def update(self) -> None:
        """One step of the optimiser with the gradients gathered so far, which are dropped."""
        self.clip()
        self.optimiser.step()
        self.optimiser.zero_grad()

    def clip(self) -> None:
        if self.max_norm is not None:
            nn.utils.clip_grad_norm_(list(self.weights().values()), self.max_norm, foreach=True)

    def weights(self) -> dict[str, Tensor]:
        """By name, the tensors that the optimiser updates: the model's parameters, or their FP32 masters."""
        return {name: p for name, p in self.model.named_parameters() if p.requires_grad}

    def gradients(self) -> dict[str, Tensor]:
        """By name, the gradients of `weights()` as the optimiser is given them; the loss must have reached them."""
        return {name: w.grad for name, w in self.weights().items() if w.grad is not None}

    def set_learning_rate(self, learning_rate: float) -> None:
        for group in self.optimiser.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(learning_rate)  # in place, where a captured step reads it
            else:
                group["lr"] = learning_rate

    def forget(self) -> None:
        """What the optimiser remembers of its steps becomes what it was before the first. In place, as above."""
        for remembered in self.optimiser.state.values():
            for name in MOMENTS & remembered.keys():
                if isinstance(value := remembered[name], Tensor):
                    value.zero_()

    @property
    def layout(self) -> Hashable:
        """What a captured step hangs on beside its batch: which tensors the optimiser updates."""
        return 0

    @property
    def remark(self) -> str | None:
        """What is to be known of how the model was taken over, for the report."""
        return None

    @property
    def loss_scale(self) -> Tensor | None:
        """0-dim FP32 tensor on the device, or None."""
        return None

    @property
    def skipped(self) -> Tensor | None:
        """0-dim tensor on the device that counts skipped steps, or None."""
        return None

    def state(self) -> ScaleState:
        """Waits for the device."""
        scale, skipped = self.loss_scale, self.skipped
        return ScaleState(None if scale is None else scale.item(), 0 if skipped is None else int(skipped.item()))


precisions = Registry("precision", Precision)
