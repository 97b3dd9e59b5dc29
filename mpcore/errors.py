"""An exception as part of a sentence: what came first, and the line that did it."""

import sysconfig
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

PACKAGE = Path(__file__).parent
STANDARD = Path(sysconfig.get_paths()["stdlib"])
INSTALLED = {"site-packages", "dist-packages"}
EXPLAINED = "Explanation: "
"""What the second line of torch.compile's errors begins with."""
AROUND = {"__torch_function__", "__torch_dispatch__", "call"}
"""Functions that torch calls around each operation, and that are nobody's line."""


class Sentence(RuntimeError):
    """An exception whose message is one sentence that says all: nothing is put before it."""


def root_cause(error: BaseException) -> BaseException:
    """What the end of a chain of exceptions hides, but for what it hides on purpose (`from None`)."""
    return [*_chain(error)][-1]


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """From the last to the first."""
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


@contextmanager
def reraised_as(kind: type[Exception], what: str, *others: type[BaseException]) -> Iterator[None]:
    """Within it whatever is raised, but for `kind` itself, a Sentence and `others`, becomes a `kind` that says what failed, and
    why."""
    passed: tuple[type[BaseException], ...] = (kind, Sentence, *others)
    try:
        yield
    except passed:
        raise
    except Exception as error:
        said = kind(f"{what} failed: {cause(error)}")
        raise said from (None if isinstance(error, StopIteration) else error)  # or contextlib lets that one through


def cause(error: BaseException) -> str:
    """The first line of what came first, and the line that did it. Before it stands what the author of the code made of it, in
    words of his own."""
    first = root_cause(error)
    reason, words = _reason(first), _first_line(first)
    own = next((_reason(later) for later in _chain(error) if later is not first and _in_own_words(later)), "")
    if own:
        reason = own if words and own.endswith(words) else f"{own}: {reason}"
    return reason + where(first)


def _in_own_words(error: BaseException) -> bool:
    """Whether a line of a user's own code raised it, and said something."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(_first_line(error) and frames and not (_of_others(frames[-1]) or _of_mpcore(frames[-1])))


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "")


def where(error: BaseException) -> str:
    """The line that raised it, in parentheses. Where torch.compile could not compile a line, its error says which."""
    compiled = getattr(error, "real_stack", None) or ()
    return source_line(compiled) or source_line(traceback.extract_tb(error.__traceback__))


def source_line(frames: Sequence[traceback.FrameSummary]) -> str:
    """Of these the last line of a user's own code, or else of mpcore's, in parentheses; "" where there is none."""
    frames = [f for f in frames if not _of_others(f)]
    frames = [f for f in frames if not _of_mpcore(f)] or frames
    return f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno}: {frames[-1].line})" if frames else ""


def _reason(error: BaseException) -> str:
    if isinstance(error, ValidationError):
        wrong = error.errors()[0]
        return f"{error.title}: {'.'.join(map(str, wrong['loc']))}: {wrong['msg']}, found {wrong['input']!r:.80}"
    reason, *more = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    if more and reason.endswith(":"):
        reason += f" {more[0]}"
    if more and more[0].startswith(EXPLAINED):
        reason += f": {more[0].removeprefix(EXPLAINED)}"
    if isinstance(error, RuntimeError | ValueError):
        return reason
    return f"{type(error).__name__}: {reason}"  # a KeyError is nothing but its key


def _of_others(frame: traceback.FrameSummary) -> bool:
    """Whether it is neither a user's own nor mpcore's."""
    return frame.name in AROUND or frame.filename.startswith("<") or _of_library(Path(frame.filename))


def _of_mpcore(frame: traceback.FrameSummary) -> bool:
    return Path(frame.filename).is_relative_to(PACKAGE)


def _of_library(file: Path) -> bool:
    return not file.is_relative_to(PACKAGE) and (file.is_relative_to(STANDARD) or not INSTALLED.isdisjoint(file.parts))


def sentences(first: str, *more: str) -> str:
    """`first`, and each that follows as a sentence of its own; empty ones are left out. A name of code keeps its letters."""
    said = [part for part in (first, *more) if part]
    return ". ".join([*said[:1], *(part[0].upper() + part[1:] if part.split()[0].isalpha() else part for part in said[1:])])
