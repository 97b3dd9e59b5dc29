"""What becomes of `worse` once it has been measured again."""

from collections.abc import Sequence

from mpcore.records import Status, Verdict


def confirmed(first: Sequence[Verdict], second: Sequence[Verdict] | str) -> list[Verdict]:
    """The first verdicts, in which `worse` stands only where a second measurement in a fresh process says so again. Where that
    could not be made, for the reason given, it stands."""
    if isinstance(second, str):
        return [_said(v, v.status, f"; it could not be measured again: {second}") if v.status == "worse" else v for v in first]
    again = {v.metric: v for v in second}
    return [_confirmed(v, again.get(v.metric)) if v.status == "worse" else v for v in first]


def _confirmed(first: Verdict, second: Verdict | None) -> Verdict:
    if second is not None and second.status == "worse":
        return _said(first, "worse", "; measured again in a fresh process, it is so again")
    says = second.sentence if second else "nothing of it"
    return _said(first, "undecided", f"; measured again in a fresh process, it is not so: {says}")


def _said(verdict: Verdict, status: Status, more: str) -> Verdict:
    return verdict.model_copy(update={"status": status, "sentence": verdict.sentence + more})
