"""The steps that a GradScaler skips, counted on the device."""

from typing import Any

import torch
from torch import Tensor


class Skips:
    """Counts those of `scaler` from now on: before each update it says whether a gradient was not finite."""

    def __init__(self, scaler: torch.amp.GradScaler, device: torch.device) -> None:
        self.count = torch.zeros((), device=device)
        self._scaler = scaler
        self._update = scaler.update
        scaler.update = self._counted  # type: ignore[method-assign]

    @property
    def loss_scale(self) -> Tensor | None:
        """None before the first step."""
        return self._scaler._get_scale_async()  # private API

    def _counted(self, *args: Any, **kwargs: Any) -> None:
        for state in self._scaler._per_optimizer_states.values():  # private API
            for found_inf in state["found_inf_per_device"].values():
                self.count.add_(found_inf)
        self._update(*args, **kwargs)
