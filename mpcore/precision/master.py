"""`fp16-manual` and `bf16-manual`: mixed precision by hand, and faster than autocast, which casts every weight anew
at every step.

The model is cast to 16 bits once. An FP32 master of each weight is what the optimiser updates:

    loss * scale -> 16-bit gradients -> copied to FP32 -> unscaled and checked -> clipped -> fused optimiser on the
    masters, which skips by itself where a gradient was not finite -> masters copied back into the 16-bit weights

none of it waiting for the host. All masters lie in one flat tensor, as do their gradients: what is copied goes over all
weights at once (foreach), and to everything between the copies the model is a single weight, which saves the launches
and the bookkeeping of hundreds. A weight that the loss does not reach has a gradient of zero.

BatchNorm keeps FP32 weights and running statistics, which its kernels take beside 16-bit inputs: cuDNN's fast ones
take no others.
"""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mpcore.precision.base import Precision, cast_inputs, cast_model, hold_fp32, matching
from mpcore.precision.scale import LossScale
from mpcore.records import Recipe
from mpcore.registry import precisions


class MasterWeights(Precision):
    rival = True
    half_share = 0.9

    def prepare(self, model: nn.Module, recipe: Recipe) -> None:
        self.model = model
        parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self._parameters: list[Tensor] = list(parameters.values())
        device = self._parameters[0].device
        self._master = torch.cat([p.detach().flatten() for p in self._parameters])
        self._master.grad = self._gradient = torch.empty_like(self._master)
        sizes, shapes = [p.numel() for p in self._parameters], [p.shape for p in self._parameters]
        self._masters = [m.view(s) for m, s in zip(self._master.split(sizes), shapes, strict=True)]
        self._gradients = [g.view(s) for g, s in zip(self._gradient.split(sizes), shapes, strict=True)]
        self._names = list(parameters)
        self._gathered = False

        held = matching(model, self.keep_fp32)
        inside = {inner for module in held for inner in module.modules()}
        norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m not in inside]
        cast_model(model, self.dtype, [*held, *norms])
        cast_inputs(model, self.dtype)
        for module in held:
            hold_fp32(module, device.type, self.dtype)
        self.optimiser = self.build_optimiser([self._master], recipe)

    def backward(self, loss: Tensor) -> None:
        loss.backward()
        self._gather()

    def update(self) -> None:
        self.clip()
        self.optimiser.step()
        with torch.no_grad():
            torch._foreach_copy_(self._parameters, self._masters)
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
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in self._parameters]
        if self._gathered:
            before = self._gradient.clone()
            torch._foreach_copy_(self._gradients, gradients)
            self._gradient.add_(before)
        else:
            torch._foreach_copy_(self._gradients, gradients)
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
