"""A training without dropout, and nothing else of it changed: the training's own forward, with dropout as the identity."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.nn import functional as F

from mpcore.device.functions import FunctionMode

IDENTITIES: set[Callable[..., Any]] = {
    *(F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout, F.feature_alpha_dropout),
    *(torch.dropout, torch.dropout_, torch.feature_dropout, torch.feature_dropout_),
    *(torch.alpha_dropout, torch.alpha_dropout_, torch.feature_alpha_dropout, torch.feature_alpha_dropout_),
}
"""Functions that return their first argument."""
ATTENTIONS: dict[Callable[..., Any], int] = {F.scaled_dot_product_attention: 4, F.multi_head_attention_forward: 10}
"""Functions with an argument `dropout_p`, and its place."""
RECURRENT: set[Callable[..., Any]] = {torch.lstm, torch.gru, torch.rnn_tanh, torch.rnn_relu}
"""Functions whose only number with a point is the dropout between their layers."""


class WithoutDropout(FunctionMode):
    """with WithoutDropout(): model(batch)

    Dropout of modules, of functions, of attention and between recurrent layers is the identity. The model stays in training:
    what else it does there, it does. In evaluation mode it may run another forward, and be another model.
    """

    def call(self, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        if func in IDENTITIES:
            return args[0] if args else kwargs["input"]
        if func is torch.native_dropout:
            return args[0], torch.ones_like(args[0], dtype=torch.bool)
        if func in ATTENTIONS:
            args, kwargs = _replaced(args, kwargs, ATTENTIONS[func])
        elif func in RECURRENT:
            args = [0.0 if isinstance(value, float) else value for value in args]
        return func(*args, **kwargs)


def _replaced(args: Sequence[Any], kwargs: dict[str, Any], place: int) -> tuple[Sequence[Any], dict[str, Any]]:
    if len(args) > place:
        return [*args[:place], 0.0, *args[place + 1 :]], kwargs
    return args, kwargs | {"dropout_p": 0.0}
