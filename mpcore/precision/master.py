"""`fp16-manual` and `bf16-manual`: mixed precision by hand, and faster than autocast, which casts every weight anew
at every step.

The model is cast to 16 bits once. An FP32 master of each weight is what the optimiser updates:

    loss * scale -> 16-bit gradients -> copied to FP32 -> unscaled and checked -> clipped -> fused optimiser on the
    masters, which skips by itself where a gradient was not finite -> masters copied back into the 16-bit weights

none of it waiting for the host. All masters lie in one flat tensor, as do their gradients: what is copied goes over all
weights at once (foreach), and to everything between the copies the model is a single weight, which saves the launches
and the bookkeeping of hundreds. Each master has the strides of its weight, for a copy between two memory formats is a
slow one and one launch a weight. A weight that the loss does not reach has a gradient of zero.

BatchNorm keeps FP32 weights and running statistics, which its kernels take beside 16-bit inputs: cuDNN's fast ones
take no others. Weights that stay FP32 are their own masters.
"""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mpcore.precision.base import Precision, cast_inputs, cast_model, hold_fp32, matching
from mpcore.precision.scale import LossScale
from mpcore.records import Recipe
from mpcore.registry import precisions


def _padded(numel: int) -> int:
    """So that every part starts where vectorised kernels may read: a multiple of 256 bytes."""
    return -(-numel // 64) * 64


class MasterWeights(Precision):
    rival = True
    half_share = 0.9

    def prepare(self, model: nn.Module, recipe: Recipe) -> None:
        self.model = model
        parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self._names = list(parameters)
        self._parameters: list[Tensor] = list(parameters.values())
        device = self._parameters[0].device
        self._master = torch.zeros(sum(_padded(p.numel()) for p in self._parameters), device=device)
        self._master.grad = self._gradient = torch.zeros_like(self._master)
        self._masters, self._gradients = self._parts(self._master), self._parts(self._gradient)
        for master, parameter in zip(self._masters, self._parameters, strict=True):
            master.copy_(parameter.detach())
        self._gathered = False

        held = matching(model, self.keep_fp32)
        inside = {inner for module in held for inner in module.modules()}
        norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m not in inside]
        cast_model(model, self.dtype, [*held, *norms])
        cast_inputs(model, self.dtype)
        for module in held:
            hold_fp32(module, device.type, self.dtype)
        self._cast = [i for i, p in enumerate(self._parameters) if p.dtype == self.dtype]
        self._kept = [i for i, p in enumerate(self._parameters) if p.dtype != self.dtype]
        for i in self._kept:
            self._parameters[i].data = self._masters[i]
        self.optimiser = self.build_optimiser([self._master], recipe)

    def _parts(self, flat: Tensor) -> list[Tensor]:
        """Views into `flat`, one for each weight, with the strides that the weight has in memory."""
        parts, start = [], 0
        for parameter in self._parameters:
            strides = torch.empty_like(parameter, device="meta").stride()
            parts.append(flat.as_strided(parameter.shape, strides, start))
            start += _padded(parameter.numel())
        return parts

    def backward(self, loss: Tensor) -> None:
        loss.backward()
        self._gather()

    def update(self) -> None:
        self.clip()
        self.optimiser.step()
        if self._cast:
            with torch.no_grad():
                torch._foreach_copy_([self._parameters[i] for i in self._cast], [self._masters[i] for i in self._cast])
        self._gathered = False

    def clip(self) -> None:
        if self.max_norm is not None:
            nn.utils.clip_grad_norm_([self._master], self.max_norm)

    def weights(self) -> dict[str, Tensor]:
        return dict(zip(self._names, self._masters, strict=True))

    def gradients(self) -> dict[str, Tensor]:
        return dict(zip(self._names, self._gradients, strict=True))

    @torch.no_grad()
    def _gather(self) -> None:
        """Moves the model's gradients into the masters', added up in FP32 over micro-batches."""
        before = self._gradient.clone() if self._gathered else None
        for indices in filter(None, (self._cast, self._kept)):  # of one dtype each, or foreach launches a copy a weight
            parameters = [self._parameters[i] for i in indices]
            gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
            torch._foreach_copy_([self._gradients[i] for i in indices], gradients)
        if before is not None:
            self._gradient.add_(before)
        self._gathered = True
        for p in self._parameters:
            p.grad = None


@precisions.register
class FP16MasterWeights(MasterWeights):
    name = "fp16-manual"
    dtype = torch.float16
    scales = True

    def prepare(self, model: nn.Module, recipe: Recipe) -> None:
        super().prepare(model, recipe)
        self.scaler = LossScale(self._master.device)

    def backward(self, loss: Tensor) -> None:
        super().backward(loss * self.scaler.scale)

    def update(self) -> None:
        self.scaler.unscale_([self._gradient])
        self.optimiser.found_inf = self.scaler.found_inf  # type: ignore[attr-defined]
        super().update()
        self.scaler.update()

    @property
    def loss_scale(self) -> Tensor | None:
        return self.scaler.scale

    @property
    def skipped(self) -> Tensor | None:
        return self.scaler.skipped


@precisions.register
class BF16MasterWeights(MasterWeights):
    """No scale: BF16 has the exponents of FP32."""

    name = "bf16-manual"
    dtype = torch.bfloat16
