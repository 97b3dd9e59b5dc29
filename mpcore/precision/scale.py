"""A dynamic loss scale that never leaves the device, and steps that are skipped there."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mpcore.execution.host import host_numbers

INITIAL = 2.0**16
GROWTH, BACKOFF, GROWTH_INTERVAL = 2.0, 0.5, 2000
MINIMUM = 1.0
"""torch's GradScaler has no floor: a scale has been seen to fall to 1e-320 while every step was skipped."""


class LossScale:
    """Micikevicius et al., "Mixed Precision Training" (2018), section 3.2, with the constants of torch.amp.GradScaler.

    The scale is halved after a step with a gradient that is not finite, which is skipped. It is doubled after `GROWTH_INTERVAL`
    good steps in a row.
    """

    def __init__(self, device: torch.device) -> None:
        self.scale = torch.full((), INITIAL, device=device)
        self.found_inf = torch.zeros((), device=device)
        self.skipped = torch.zeros((), device=device)
        self.good_steps = torch.zeros((), dtype=torch.int32, device=device)

    def unscale_(self, gradients: Sequence[Tensor]) -> None:
        """Divides `gradients` by the scale in place and sets `found_inf` to 1 where one of them is not finite."""
        self.found_inf.zero_()
        inverse = self.scale.reciprocal()
        torch._amp_foreach_non_finite_check_and_unscale_(list(gradients), self.found_inf, inverse)  # private API

    def update(self) -> None:
        self.skipped.add_(self.found_inf)
        torch._amp_update_scale_(self.scale, self.good_steps, self.found_inf, GROWTH, BACKOFF, GROWTH_INTERVAL)  # private API
        self.scale.clamp_(min=MINIMUM)


@dataclass(frozen=True)
class ScaleState:
    """`loss_scale` is None in modes that do not scale."""

    loss_scale: float | None
    skipped_steps: int


def scale_state(loss_scale: Tensor | None, skipped: Tensor | None) -> ScaleState:
    """As the host knows it. loss_scale, skipped: 0-dim tensors, None where there is none. Waits for the device."""
    return ScaleState(None if loss_scale is None else loss_scale.item(), 0 if skipped is None else int(skipped.item()))


class Skip:
    """Steps of an optimiser that cannot skip one by itself, without waiting for the host. A step is undone where a gradient was
    not finite: weights and state are put back from copies.

    A weight has no state to be put back before its first good step. Until then the host is asked. It is asked for ever where
    the optimiser keeps numbers of its own there (`on_host`), or sparse tensors, as torch's GradScaler asks it.
    """

    def __init__(self, optimiser: torch.optim.Optimizer) -> None:
        self.optimiser = optimiser
        self.on_host = False
        self.ready = False
        """Whether the weights of the last step all have their state, so that the next may be captured."""
        self._stepped: set[int] = set()

    def __call__(self, found_inf: Tensor) -> None:
        reached = [p for group in self.optimiser.param_groups for p in group["params"] if p.grad is not None]
        if self._stepped.issuperset(map(id, reached)) and not self.on_host:
            self._step_and_undo(reached, found_inf > 0)
        elif not found_inf.item():
            self._step(reached)
        self.ready = self._stepped.issuperset(map(id, reached))

    def _step(self, reached: Sequence[Tensor]) -> None:
        before = host_numbers(self.optimiser)
        self.optimiser.step()
        tensors = [(p, v) for p in reached for v in self.optimiser.state.get(p, {}).values() if isinstance(v, Tensor)]
        elsewhere = any(v.is_sparse or v.device != p.device for p, v in tensors)
        self.on_host |= elsewhere or host_numbers(self.optimiser) != before
        self._stepped |= set(map(id, reached))

    def _step_and_undo(self, reached: Sequence[Tensor], bad: Tensor) -> None:
        kept = {id(p): {"": p} | self.optimiser.state.get(p, {}) for p in reached}
        before = [(p, key, v.clone()) for p in reached for key, v in kept[id(p)].items() if isinstance(v, Tensor)]
        self.optimiser.step()
        with torch.no_grad():
            for p, key, old in before:
                new = self.optimiser.state[p][key] if key else p
                new.copy_(torch.where(bad, old, new))
