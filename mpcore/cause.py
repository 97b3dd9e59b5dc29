"""An exception as part of a sentence: what came first, and the line that did it."""

import traceback
from pathlib import Path

import torch


def first(error: BaseException) -> BaseException:
    """What the end of a chain of exceptions hides."""
    while error.__context__ is not None:
        error = error.__context__
    return error


def cause(error: BaseException) -> str:
    """The first line of what came first, and the line outside of torch that did it."""
    error = first(error)
    text = str(error).strip()
    reason = text.splitlines()[0] if text else type(error).__name__
    if not isinstance(error, RuntimeError | ValueError):
        reason = f"{type(error).__name__}: {reason}"  # a KeyError is nothing but its key
    inside = Path(torch.__file__).parent
    frames = [f for f in traceback.extract_tb(error.__traceback__) if inside not in Path(f.filename).parents]
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno}: {frames[-1].line})" if frames else ""
    return reason + place
