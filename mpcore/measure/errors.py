"""What can happen to a case that is no fault of the suite's: it diverges, cannot be captured, or finds no memory."""

import contextlib
import traceback

import torch

from mpcore.device.occupancy import Occupancy, asked_bytes, occupancy
from mpcore.errors import Sentence, root_cause
from mpcore.execution.graph import CaptureError
from mpcore.measure.memory import free_memory
from mpcore.precision import Inapplicable, PrecisionError
from mpcore.records import Case, Failure
from mpcore.trainers import TrainerError
from mpcore.training.loop import Diverged
from mpcore.workloads import WorkloadError


class CaseFailed(Sentence):
    """What another process says that measures a case, of why it was not measured."""


class TooLarge(Inapplicable):
    """What another process says of a case that needs more memory than there is."""


CASE_ERRORS = (CaptureError, CaseFailed, Diverged, PrecisionError, TrainerError, WorkloadError, torch.cuda.OutOfMemoryError)
ALLOCATION = ("ALLOC_FAILED", "CUDA error: out of memory")
"""In the words of libraries that ask the driver for memory themselves."""


def failure_of(case: Case, error: BaseException, device: torch.device) -> Failure:
    """Why it was not measured. Where it needs more memory than there is, whoever else is on the GPU, that is no fault: it is
    skipped. Where others hold what it lacks, they are named. The memory that it held is given back."""
    held = occupancy(device) if lacks_memory(error) else None
    sentence = one_sentence(error)
    if held is None:
        return Failure(case=case, sentence=sentence)
    asked = asked_bytes(str(root_cause(error)))
    if held.fits_alone(asked or 0):
        return Failure(case=case, sentence=f"{_lacking(held, asked)}, for others hold {_gib(held.others)}{_whose(held)}")
    return Failure(case=case, sentence=f"it needs more memory than there is: {_lacking(held, asked)}", skipped=True, large=True)


def one_sentence(failed: BaseException) -> str:
    """One sentence; and the memory that the failed case held is given back."""
    give_back(failed)
    first = " ".join(str(failed).split())
    if isinstance(failed, torch.cuda.OutOfMemoryError):
        first = first.split(" See documentation")[0].split(" If reserved but")[0]
    return first


def give_back(failed: BaseException) -> None:
    """The memory that is held where it failed."""
    error: BaseException | None = failed
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__context__
    with contextlib.suppress(RuntimeError):  # a GPU that is lost has none to give
        free_memory()


def lacks_memory(error: BaseException) -> bool:
    """Whether it is one of the allocator's, or of a library that asked the driver, whatever it was told as since."""
    cause = root_cause(error)
    return isinstance(cause, torch.cuda.OutOfMemoryError) or any(sign in str(cause) for sign in ALLOCATION)


def _lacking(held: Occupancy, asked: int | None) -> str:
    more = "some more was asked for" if asked is None else f"{_gib(asked)} more were asked for"
    return f"{more} where it held {_gib(held.own)} of {_gib(held.limit)}"


def _whose(held: Occupancy) -> str:
    """In parentheses, "" where NVML does not say."""
    return f" ({', '.join(map(str, held.processes))})" if held.processes else ""


def _gib(count: int) -> str:
    return f"{count / 2**30:.2f} GiB"
