"""`bf16-sr` and `bf16-kahan`: everything in BF16, as in `bf16-true`, and yet small updates arrive.

Stochastic rounding adds the whole distance to the next BF16 number to a weight, with the probability that is the update's share
of it. So the mean of many updates is right. Kahan summation keeps, in a BF16 number beside each weight, what rounding has cut
off, and adds it to the next update. Zamirai et al., "Revisiting BFloat16 Training" (2020).

Both count their steps on the device. torchao's optimiser keeps the count on the host, and optimi's asks the device for it. A
captured step would freeze the one in silence and fail at the other.
"""

import importlib.util
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from mpcore.precision.base import precisions
from mpcore.precision.errors import Inapplicable
from mpcore.precision.flat import FlatWeights
from mpcore.precision.optimisers import ParameterGroup
from mpcore.precision.pure import cast_wholly
from mpcore.records import Recipe


class RoundedWeights(FlatWeights):
    dtype = torch.bfloat16
    low_precision_share = 0.95
    masters = False
    """So little of twenty updates is seen in the weights: the rest is chance, or waits in the compensations."""
    on_request = True
    casts = True

    def prepare(self, model: nn.Module, recipe: Recipe) -> None:
        found = "the workload's own" if self.own_optimiser else recipe.optimiser
        if found not in ("Adam", "AdamW"):
            raise Inapplicable(f"{self.name} has Adam and AdamW for optimisers, and not {found}")
        self.kept = cast_wholly(model, self.dtype, self.keep_fp32)
        self.flatten(model, lambda p: (p.dtype.to_real(), True))
        self.update_in_place_of(model, recipe)

    def build_optimiser(self, weights: Sequence[Any], recipe: Recipe) -> torch.optim.Optimizer:
        """Learning rates are tensors on the device, each group's its own."""
        groups: list[ParameterGroup] = list(weights) if self.weight_groups else [{"params": list(weights)}]
        for group in groups:
            group["lr"] = torch.tensor(group.get("lr", recipe.learning_rate), device=self.groups[0].whole.device)
        return self.rounding_optimiser(groups, recipe)

    def rounding_optimiser(self, groups: list[ParameterGroup], recipe: Recipe) -> torch.optim.Optimizer:
        raise NotImplementedError


@precisions.register
class StochasticRounding(RoundedWeights):
    """The optimiser is torchao's. On a CPU it runs as Python wrote it: to compile it takes longer than a short training."""

    name = "bf16-sr"
    draws = True

    @classmethod
    def unsupported(cls, device: torch.device) -> str | None:
        if reason := super().unsupported(device):
            return reason
        if importlib.util.find_spec("torchao") is None:
            return "bf16-sr needs torchao, which is not installed: pip install 'mpcore[modes]'"
        if device.type == "cuda" and importlib.util.find_spec("triton") is None:
            return "bf16-sr needs triton, which is not installed, to compile torchao's optimiser"
        return None

    def rounding_optimiser(self, groups: list[ParameterGroup], recipe: Recipe) -> torch.optim.Optimizer:
        from torchao import optim

        if recipe.optimiser == "Adam" and recipe.weight_decay:
            raise Inapplicable(f"{self.name} has no Adam with weight decay, which torchao does not export; AdamW it has")
        options = {"betas": recipe.betas, "eps": recipe.eps, "weight_decay": recipe.weight_decay}
        optimiser = optim._AdamW(groups, groups[0]["lr"], **options, bf16_stochastic_round=True)  # private API
        for weight in (w for group in groups for w in group["params"]):  # before torchao does it, with a count on the host
            optimiser.state[weight] = {
                "step": torch.zeros((), device=weight.device),
                "exp_avg": torch.zeros_like(weight),
                "exp_avg_sq": torch.zeros_like(weight),
            }
        return optimiser

    def update(self) -> None:
        on_cpu = self.groups[0].whole.device.type == "cpu"
        with torch.compiler.set_stance("force_eager") if on_cpu else nullcontext():
            super().update()


@precisions.register
class KahanSummation(RoundedWeights):
    name = "bf16-kahan"

    def rounding_optimiser(self, groups: list[ParameterGroup], recipe: Recipe) -> torch.optim.Optimizer:
        decoupled, decay = recipe.optimiser == "AdamW", recipe.weight_decay
        return KahanAdam(groups, groups[0]["lr"], decay, decoupled=decoupled, betas=recipe.betas, eps=recipe.eps)


class KahanAdam(torch.optim.Optimizer):
    """Adam, or AdamW where the decay is `decoupled`, with a compensation beside each weight. weights: tensors or parameter
    groups. learning_rate: 0-dim, on the device of the weights, as is the count of steps.

    The arithmetic is FP32, the state is stored as the weights are. The decay goes by way of the compensation, for a weight
    times 1 - 1e-6 is the same weight in BF16. Without decay it is optimi's AdamW with Kahan summation.
    """

    def __init__(
        self,
        weights: Sequence[Any],
        learning_rate: Tensor,
        weight_decay: float,
        *,
        decoupled: bool,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        defaults = {"lr": learning_rate, "weight_decay": weight_decay, "decoupled": decoupled, "betas": betas, "eps": eps}
        super().__init__(list(weights), defaults)
        for weight in (w for group in self.param_groups for w in group["params"]):
            self.state[weight] = {
                "step": torch.zeros((), device=weight.device),
                **{name: torch.zeros_like(weight) for name in ("exp_avg", "exp_avg_sq", "compensation")},
            }

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]  # nobody hands it a closure
        for group in self.param_groups:
            for weight in (w for w in group["params"] if w.grad is not None):
                self._update(weight, self.state[weight], group)

    @staticmethod
    def _update(weight: Tensor, state: dict[str, Tensor], group: dict[str, Any]) -> None:
        (beta1, beta2), decay = group["betas"], group["weight_decay"]
        step = state["step"].add_(1)
        assert weight.grad is not None
        gradient, old = (t.to(torch.float32, copy=True) for t in (weight.grad, weight))
        if decay and not group["decoupled"]:
            gradient = gradient.add_(old, alpha=decay)
        mean = state["exp_avg"].float().lerp_(gradient, 1 - beta1)
        square = state["exp_avg_sq"].float().mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        state["exp_avg"].copy_(mean)
        state["exp_avg_sq"].copy_(square)
        denominator = square.div_(1 - beta2**step).sqrt_().add_(group["eps"])
        change = mean.div_(1 - beta1**step).div_(denominator)
        if decay and group["decoupled"]:
            change = change.add_(old, alpha=decay)
        change = state["compensation"].float().sub_(change.mul_(group["lr"]))
        weight.copy_(old + change)
        state["compensation"].copy_(change.sub_(weight - old))
