"""The cases that base and head list: whether they can be compared, and which both can run."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from mpcore.ab.revisions import Checkout
from mpcore.records import Case, Listing
from mpcore.runner import RunnerError
from mpcore.selection import SelectionError

Cases = dict[Case, str | None]
"""Each with the reason where it cannot be run here."""
OLDER = "it is older than one of the options that say what is measured"


class Lists(Protocol):
    """What a Runner does first."""

    def listing(self) -> Listing: ...


@dataclass(frozen=True)
class Matched:
    """Cases that both can run; those that only head has; by case, why it fails; and why it cannot be run here."""

    common: list[Case]
    new: list[Case]
    failures: dict[str, str]
    skipped: dict[str, str]


def listed(side: str, checkout: Checkout, process: Lists) -> Listing:
    """What the process of "base" or "head" lists. Raises RunnerError, which names the side."""
    try:
        return process.listing()
    except RunnerError as error:
        why = OLDER if "validation error for Selection" in str(error) else str(error)
        raise RunnerError(f"{side} ({checkout.name}) cannot be measured: {why}") from error


def matched(checkouts: tuple[Checkout, Checkout], listings: tuple[Listing, Listing]) -> Matched:
    """Of base and head. Raises SelectionError where neither has what is selected, and where one of two trees has no code of
    its own."""
    _check(checkouts, listings)
    before, after = _alike(*listings)
    found = Matched([], [], {case.id: _gone(case, before, after) for case in before if case not in after}, {})
    for case, reason in after.items():
        runs_in_base = case in before and before[case] is None
        if reason is None:
            (found.common if runs_in_base else found.new).append(case)
        elif runs_in_base:
            found.failures[case.id] = f"base runs it and head does not: {reason}"
        else:
            found.skipped[case.id] = reason
    return found


def _alike(base: Listing, head: Listing) -> tuple[Cases, Cases]:
    """Their cases. A loaded file may leave out all other workloads on one side only, as a new file does. They are left out on
    the other side then, too."""
    before, after = dict(base.cases), dict(head.cases)
    if base.alone and not head.alone:
        return before, _of_workloads(before, after)
    if head.alone and not base.alone:
        return _of_workloads(after, before), after
    return before, after


def _of_workloads(named: Cases, cases: Cases) -> Cases:
    names = {case.workload for case in named}
    return {case: reason for case, reason in cases.items() if case.workload in names}


def _gone(case: Case, before: Iterable[Case], after: Iterable[Case]) -> str:
    """Of a case that only base has: its workload may have another name now."""
    old, new = ({other.workload for other in cases} for cases in (before, after))
    said = "base has it and head does not"
    if case.workload in new or not new - old:
        return said
    names = " and ".join(sorted(new - old))
    return f"{said}, and only head has {names}: what was renamed is not compared, and --mp-workload names what can be"


def _check(checkouts: tuple[Checkout, Checkout], listings: tuple[Listing, Listing]) -> None:
    """What neither has is a mistake in the selection, and a tree that nothing is imported from is another's code."""
    base, head = (dict(listing.unknown) for listing in listings)
    mistakes = [sentence for name, sentence in head.items() if name in base]
    if mistakes:
        raise SelectionError("; ".join(mistakes))
    if not any(listing.cases for listing in listings):
        raise SelectionError("; ".join([*base.values(), *head.values()]) or "nothing is selected")
    if len({checkout.tree for checkout in checkouts}) > 1 and len({checkout.python for checkout in checkouts}) == 1:
        for checkout, listing in zip(checkouts, listings, strict=True):
            if not listing.own:
                missing = "".join(f". {sentence}" for name, sentence in listing.unknown if name.startswith("load "))
                raise SelectionError(
                    f"{checkout.name}: nothing is imported from {checkout.tree}, and the installed code would be measured: "
                    f"expected a tree with the package mpcore, or a file of --mp-load{missing}"
                )
