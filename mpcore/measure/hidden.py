"""Gradients that are nothing at first, since what they go through is multiplied by a weight that starts at zero. So start the
second factor of a LoRA, the last norm of a residual branch, the gates of a diffusion transformer. What a mode does to such
gradients would never be seen."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter

from mpcore.measure.errors import CASE_ERRORS, lacks_memory, one_sentence
from mpcore.measure.yardstick import Yardstick
from mpcore.precision import Inapplicable
from mpcore.records import Numerics
from mpcore.workloads import Workload

DEVIATION = 0.02
"""Standard deviation of what is in the place of zeros: small beside other weights, and no rounding."""
SEED = 0
NAMED = 3
"""Tensors that are named."""


@dataclass(frozen=True)
class Opened:
    """A second yardstick, of the same model without zeros. names: of the tensors that have a gradient there, and none in the
    first. failure: why there is no second, or None; names are then of all that have none in the first."""

    yardstick: Yardstick | None
    names: Sequence[str]
    failure: str | None = None

    def joined(self, numerics: Numerics, without_zeros: Numerics) -> Numerics:
        """`numerics` with these tensors as they are without zeros. All other figures are those of the model as it is."""
        if without_zeros.tensors is None:
            return self.unjudged(numerics, without_zeros.remark or "it is not known what rounding does to them")
        of = {t.name: t.model_copy(update={"hidden": True}) for t in without_zeros.tensors if t.name in self.names}
        tensors = tuple(of.get(tensor.name, tensor) for tensor in numerics.tensors or ())
        said = f"weights that are all zero at first hide the gradients of {self._said()}"
        return remarked(numerics, f"{said}: these are judged from small random numbers in their place", tensors=tensors)

    def unjudged(self, numerics: Numerics, failure: str) -> Numerics:
        """`numerics`, which says that these tensors are not judged."""
        return remarked(numerics, f"the gradients of {self._said()} are nothing at first, and are not judged ({failure})")

    def _said(self) -> str:
        more = f" and {len(self.names) - NAMED} more" if len(self.names) > NAMED else ""
        return f"{', '.join(self.names[:NAMED])}{more}"


def remarked(numerics: Numerics, remark: str, **changes: object) -> Numerics:
    return numerics.model_copy(update={"remark": "; ".join(filter(None, [numerics.remark, remark])), **changes})


def opened(workload: Workload, yardstick: Yardstick, new: Callable[[], Yardstick]) -> Opened | None:
    """None where zeros hide no gradient in `yardstick`. new: makes a second. Raises what it raises where memory ends, and there
    is room on the host."""
    hidden = _without_gradient(yardstick)
    if not hidden:
        return None
    try:
        with without_zeros(workload):
            second = new()
    except (Inapplicable, *CASE_ERRORS) as error:
        if lacks_memory(error) and not yardstick.on_host:
            raise
        return Opened(None, hidden, one_sentence(error))
    names = [name for name in hidden if name not in _without_gradient(second)]
    return Opened(second, names) if names else None


def _without_gradient(yardstick: Yardstick) -> Sequence[str]:
    """Of the weights that the loss reaches."""
    gradients = yardstick.observed.gradients
    return [name for name in yardstick.layers if name in gradients and not gradients[name].any()]


@contextmanager
def without_zeros(workload: Workload) -> Iterator[None]:
    """Within it, trained weights that `build_model` makes all zero are small random numbers, the same each time."""
    build, own = workload.build_model, vars(workload)
    found = own.get("build_model")

    def build_model() -> nn.Module:
        model, generator = build(), torch.Generator().manual_seed(SEED)
        for weight in model.parameters():
            if weight.requires_grad and not isinstance(weight, UninitializedParameter) and not weight.any():
                small = torch.randn(weight.shape, generator=generator, dtype=weight.dtype, device="cpu")
                weight.data.copy_(DEVIATION * small)
        return model

    own["build_model"] = build_model
    try:
        yield
    finally:
        if found is None:
            del own["build_model"]
        else:
            own["build_model"] = found
