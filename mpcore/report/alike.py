"""What is said alike of many cases, said once: with their modes, and with the range of each figure that differs."""

import re
from collections.abc import Iterable, Mapping, Sequence

from mpcore.records import OWN_TRAINER, AnyRecord, Case, Run
from mpcore.report.boxes import boxes
from mpcore.report.text import kind_of

ModesOf = Mapping[tuple[str, str], Sequence[str]]
"""All modes that a run has of a subject, by how they are run."""
FIGURE = re.compile(r"(?<![\w.+-])([+-]?\d+(?:,\d{3})*(?:\.\d+)?(?:e[+-]?\d+)?)(?![.-]?\w)")
"""A number that is no part of a name or of a version."""
MODE = "\0"
"""Where a sentence names the mode of its case."""
LOW = ("between ", "bounds ")
"""What comes before the lower end of an interval; "and" comes before the other one."""


def named_once(found: Iterable[tuple[AnyRecord, str]], cases: Iterable[Case]) -> list[str]:
    """What is said of records, once for all of which it is the same. It names neither workload nor mode, and may be "".

    cases: all of the run, so that the whole of a workload is not listed mode by mode.
    """
    modes_of = _modes_of(cases)
    points = [(r.case.precision, r.case.subject, kind_of(r), how_run(r.case), said) for r, said in found]
    named = []
    for modes, subjects, kinds, (how,), (said,) in boxes(points, axes=range(3)):
        shown = {_modes(modes, modes_of.get((how, subject), ())) for subject in subjects}
        listed = shown.pop() if len(shown) == 1 else joined(modes)
        named.append(f"{joined(kinds)} of {', '.join(subjects)} ({how}: {listed})" + (f": {said}" if said else ""))
    return named


def said_once(found: Iterable[tuple[Case, str, str]], cases: Iterable[Case]) -> list[str]:
    """Sentences on figures, those on the same one of a workload as one. Where they differ in more than mode and figures they
    stand apart. found: with the name of the figure. cases: as above."""
    modes_of = _modes_of(cases)
    groups: dict[tuple[str, str, str, tuple[str, ...]], list[tuple[str, str]]] = {}
    for case, metric, sentence in found:
        open_ = re.sub(rf"(?<![\w.-]){re.escape(case.precision)}(?![.]?\w|-)", MODE, sentence, count=1)
        shape = how_run(case), case.subject, metric, tuple(FIGURE.split(open_)[::2])
        groups.setdefault(shape, []).append((case.precision, open_))
    said = []
    for (how, subject, _, words), group in groups.items():
        figures = [FIGURE.findall(sentence) for _, sentence in group]
        modes = _modes(list(dict.fromkeys(mode for mode, _ in group)), modes_of.get((how, subject), ()))
        said.append(_filled(words, figures).replace(MODE, modes))
    return said


def cases_of(*runs: Run) -> list[Case]:
    return [result.record.case for run in runs for result in run.results]


def how_run(case: Case) -> str:
    """What tells two cases of a subject and a mode apart: "graph-full"."""
    own = case.model_copy(update={"trainer": OWN_TRAINER})
    return own.id.removeprefix(f"{case.workload}-{case.precision}-")


def joined(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _modes_of(cases: Iterable[Case]) -> ModesOf:
    found: dict[tuple[str, str], dict[str, None]] = {}
    for case in cases:
        found.setdefault((how_run(case), case.subject), {})[case.precision] = None
    return {place: list(modes) for place, modes in found.items()}


def _modes(modes: Sequence[str], of: Sequence[str]) -> str:
    return f"all {len(of)} modes" if len(of) > 2 and set(modes) == set(of) else joined(modes)


def _filled(words: Sequence[str], figures: Sequence[Sequence[str]]) -> str:
    """The words of sentences that are alike, with the range of each figure between them."""
    said = words[0]
    for number, (texts, following) in enumerate(zip(zip(*figures, strict=True), words[1:], strict=True)):
        low, high = min(texts, key=_value), max(texts, key=_value)
        if words[number].endswith(LOW):
            figure = low
        elif number and words[number - 1].endswith(LOW) and words[number].endswith(" and "):
            figure = high
        else:
            figure = low if low == high else f"{low} to {high}"
        said += figure + following
    return said


def _value(figure: str) -> float:
    return float(figure.replace(",", ""))
