"""A model without dropout."""

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm  # private API


def disable_dropout(model: nn.Module) -> None:
    """Evaluation mode, which every kind of dropout obeys, but for BatchNorm, which goes on using the batch's statistics, and
    for recurrent layers, whose gradients cuDNN has in training mode only."""
    model.eval()
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.train()
        elif isinstance(module, nn.RNNBase):
            module.train()
            module.dropout = 0.0
