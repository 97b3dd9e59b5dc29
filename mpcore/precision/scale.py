"""A dynamic loss scale that never leaves the device."""

from collections.abc import Sequence

import torch
from torch import Tensor

INITIAL = 2.0**16
GROWTH, BACKOFF, GROWTH_INTERVAL = 2.0, 0.5, 2000
MINIMUM = 1.0
"""torch's GradScaler has no floor: a scale has been seen to fall to 1e-320 while every step was skipped."""


class LossScale:
    """Micikevicius et al., "Mixed Precision Training" (2018), section 3.2, with the constants of torch.amp.GradScaler.

    The scale is halved after a step with a gradient that is not finite, which is skipped, and doubled after
    `GROWTH_INTERVAL` good steps in a row.
    """

    def __init__(self, device: torch.device) -> None:
        self.scale = torch.full((), INITIAL, device=device)
        self.found_inf = torch.zeros((), device=device)
        self.skipped = torch.zeros((), device=device)
        self._good_steps = torch.zeros((), dtype=torch.int32, device=device)

    def unscale_(self, gradients: Sequence[Tensor]) -> None:
        """Divides `gradients` by the scale in place and sets `found_inf` to 1 where one of them is not finite."""
        self.found_inf.zero_()
        inverse = self.scale.reciprocal()
        torch._amp_foreach_non_finite_check_and_unscale_(list(gradients), self.found_inf, inverse)  # private API

    def update(self) -> None:
        self.skipped.add_(self.found_inf)
        torch._amp_update_scale_(self.scale, self._good_steps, self.found_inf, GROWTH, BACKOFF, GROWTH_INTERVAL)  # private API
        self.scale.clamp_(min=MINIMUM)
