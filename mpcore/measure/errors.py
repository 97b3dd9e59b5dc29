"""What can happen to a case that is no fault of the suite's: it diverges, cannot be captured, or finds no memory."""

import contextlib
import traceback

import torch

from mpcore.errors import Sentence
from mpcore.execution.graph import CaptureError
from mpcore.measure.memory import free_memory
from mpcore.precision import PrecisionError
from mpcore.trainers import TrainerError
from mpcore.training.loop import Diverged
from mpcore.workloads import WorkloadError


class CaseFailed(Sentence):
    """What another process says that measures a case, of why it was not measured."""


CASE_ERRORS = (CaptureError, CaseFailed, Diverged, PrecisionError, TrainerError, WorkloadError, torch.cuda.OutOfMemoryError)


def one_sentence(failed: BaseException) -> str:
    """One sentence; and the memory that the failed case held is given back."""
    error: BaseException | None = failed
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__context__
    first = " ".join(str(failed).split())
    if isinstance(failed, torch.cuda.OutOfMemoryError):
        first = first.split(" See documentation")[0].split(" If reserved but")[0]
    with contextlib.suppress(RuntimeError):  # a GPU that is lost has none to give
        free_memory()
    return first
