"""What rounding alone does to a step: it is run in FP64, or in FP32 where that cannot be, and every result is rounded to the
digits of another format."""

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode  # private API
from torch.utils._pytree import tree_leaves  # private API

from mpcore.measure.draws import UNIFORM, name_of

DIGITS = {torch.float64: 53, torch.float32: 24}
"""In binary."""
BITS = {torch.float64: torch.int64, torch.float32: torch.int32}


class Rounded(TorchDispatchMode):
    """with Rounded(8, device, seed=0) as rounding: step.launch(batch)

    Within it what an operation returns in `dtype`, complex or not, has `digits` binary digits, as BF16 has 8, and an exponent
    of any size. A number is rounded up with the probability that is its distance to the next number below, in digits. So runs
    of several seeds differ by chance, as kernels do. Numbers that are drawn between 0 and 1 stay: a mask by them would be
    another. Nor is anything rounded but on `device`, where the step is: what is kept elsewhere is a copy. on: put to False
    where no more is to be rounded.
    """

    supports_higher_order_operators = True

    def __init__(self, digits: int, device: torch.device, *, seed: int, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        self.on = True
        self._device = device
        self._dtype = dtype
        self._last = 2 ** (DIGITS[dtype] - digits)
        self._seed = seed
        self.restart()

    def restart(self) -> None:
        """From here on the same chances again. A kernel rounds in one way, step by step, what hardly changes."""
        self._generator = torch.Generator(self._device).manual_seed(self._seed)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if self.on and not getattr(func, "is_view", False) and name_of(func) not in UNIFORM:
            for value in tree_leaves(out):
                if isinstance(value, Tensor) and value.layout == torch.strided and value.numel():
                    self.round_(value)  # what sparse tensors hold was rounded before
        return out

    @torch.no_grad()
    def round_(self, values: Tensor) -> None:
        """In place. What has no more digits stays as it is, and so does what is not finite, or in another format.

        The digits that go are the last bits of a number. Bits by chance are added to them, and what is carried rounds up.
        """
        if values.is_complex():
            values = torch.view_as_real(values.resolve_conj())
        if values.dtype == self._dtype and values.device == self._device:
            bits = values.view(BITS[self._dtype])
            chance = torch.randint(self._last, bits.shape, generator=self._generator, device=self._device, dtype=bits.dtype)
            bits.add_(chance).bitwise_and_(-self._last)
