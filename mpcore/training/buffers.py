"""What a model remembers of earlier batches: in its buffers, and in weights that it moves by itself."""

import torch
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

_copies = WeakTensorKeyDictionary()
"""Of frozen weights as they were last: most never move, and one copy of each is enough for all who hold it."""


class Buffers:
    """Those of `model` as they are now, to be put back, and its frozen weights: an average of the others is kept in them."""

    def __init__(self, model: nn.Module) -> None:
        self._held = [
            (module, name, buffer, buffer.detach().clone())
            for module in model.modules()
            for name, buffer in module.named_buffers(recurse=False)
        ]
        self._frozen = [(weight, _copy_of(weight)) for weight in model.parameters() if not weight.requires_grad]

    def put_back(self) -> None:
        """In place, also where the model has put another tensor there since, or none. What it has added stays: it is made
        anew."""
        with torch.no_grad():
            for weight, value in self._frozen:
                weight.copy_(value)
            for module, name, buffer, value in self._held:
                try:
                    buffer.copy_(value)
                except RuntimeError:  # an expanded one cannot be written to
                    buffer.data = value.clone()
                if not hasattr(module, name):
                    module.register_buffer(name, buffer)
                elif getattr(module, name) is not buffer:
                    setattr(module, name, buffer)


def _copy_of(weight: Tensor) -> Tensor:
    """Not to be written to."""
    if type(weight) is not nn.Parameter:  # a library's own may not be compared
        return weight.detach().clone()
    known: Tensor | None = _copies.get(weight)
    if known is None or (known.device, known.dtype) != (weight.device, weight.dtype) or not torch.equal(known, weight):
        known = _copies[weight] = weight.detach().clone()
    return known
