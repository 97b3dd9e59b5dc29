"""Cases that need no timing: what a step does, its graph and the code that was loaded for it are the same on both sides."""

import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field

from mpcore.ab.code import unmeasured
from mpcore.ab.revisions import Checkout
from mpcore.ab.scheduler import PairResult
from mpcore.ab.work import KIND, NOT_COMPILED, Process, Works, counted_at_once, counted_in_turn, start
from mpcore.gate.limits import MACHINE_CASES, MACHINE_PAIRS, ODD_PAIR
from mpcore.gate.margins import Policy
from mpcore.gate.work import work_regressions
from mpcore.records import Case, Failure, Listing, Pair, PairedCase, Selection, Timing, Work
from mpcore.runner import Measured, RunnerError

SAID = "what a step does, its graph and the code that was loaded are the same"
Ready = Callable[[], tuple[Process, Process]]
"""Gives processes of base and head that have loaded everything: at first those that have listed, then fresh ones."""
Count = Callable[[tuple[Checkout, Checkout], Selection, Sequence[Case], str, Callable[[str], None], Ready], Works]


def count_work(
    sides: tuple[Checkout, Checkout],
    selection: Selection,
    cases: Sequence[Case],
    device: str,
    progress: Callable[[str], None],
    ready: Ready,
) -> Works:
    """In a process of each side at once, on a CPU in fresh ones of a thread each. Ranks of one side wait for the other's. What
    failed beside another process on a GPU is counted once more without it, and so is one code that comes to other work: it may
    have lacked memory, and what memory is free decides there which kernels run. Raises RunnerError."""
    base, head = (start(sides[0], selection), start(sides[1], selection)) if device == "cpu" else ready()
    with closing(base), closing(head):
        if selection.spread:
            return counted_in_turn(sides, (base, head), cases, progress)
        before, after = counted_at_once(sides, (base, head), cases, progress)
    lacking = [case for case in cases if _may_have_lacked_memory(before[case], after[case])]
    if not lacking or device == "cpu":
        return before, after
    base, head = ready()
    with closing(base), closing(head):
        again = counted_in_turn(sides, (base, head), lacking, progress, fresh=True)
    return before | again[0], after | again[1]


def _may_have_lacked_memory(base: Measured, head: Measured) -> bool:
    if isinstance(base, Work) and isinstance(head, Work):
        one_code = base.code is not None and (base.code, base.software) == (head.code, head.software)
        return one_code and not _same_work(base, head)
    failures = (answer for answer in (base, head) if isinstance(answer, Failure))
    return any(not failure.hung and (failure.large or not failure.skipped) for failure in failures)


def settled(
    sides: tuple[Checkout, Checkout],
    listings: tuple[Listing, Listing],
    selection: Selection,
    cases: Sequence[Case],
    progress: Callable[[str], None],
    ready: Ready,
    count: Count = count_work,
) -> list[Case]:
    """Those of `cases` that need no timing. A compiled case always does: what its compiler chooses is timed, and may be
    chosen anew. Raises SelectionError where both sides have loaded one file for them that differs."""
    candidates = [case for case in cases if case.execution in NOT_COMPILED]
    if not candidates or any(KIND not in listing.kinds or "loaded" not in listing.kinds for listing in listings):
        return []
    base, head = sides
    if (base.slowdown, base.command) != (head.slowdown, head.command):
        return []
    try:
        before, after = count(sides, selection, candidates, listings[1].machine.hardware.device, progress, ready)
    except RunnerError:  # which the pairs will say
        return []
    return [case for case in candidates if _same(before[case], after[case])]


def _same(base: Measured, head: Measured) -> bool:
    if not (isinstance(base, Work) and isinstance(head, Work)) or base.code is None or base.code != head.code:
        return False
    if head.case.captured and head.device != "cpu" and base.graph_signature is None:
        return False
    return _same_work(base, head)


def _same_work(base: Work, head: Work) -> bool:
    return base.graph_signature == head.graph_signature and all(r.status == "same" for r in work_regressions(base, head))


@dataclass
class MachineCheck:
    """Two pairs of a few cases that need no timing: whether this machine times what is the same alike. Two more of those that
    are blind. tried: how many pairs of each case there were, whole or lost."""

    cases: Sequence[Case]
    policy: Policy
    pairs: dict[Case, list[Pair]] = field(default_factory=dict)
    tried: Counter[Case] = field(default_factory=Counter)
    retried: bool = False

    @classmethod
    def among(cls, cases: Sequence[Case], policy: Policy, earlier: Mapping[Case, PairedCase]) -> "MachineCheck":
        """A few of `cases`, from the first to the last. Only graphs: what Python launches spreads too much for two pairs.
        earlier: what an interrupted comparison had of them."""
        graphs = [case for case in cases if case.captured]
        every = max(1, len(graphs) // MACHINE_CASES)
        chosen = graphs[::every][:MACHINE_CASES]
        pairs = {case: [*earlier[case].pairs] for case in chosen if case in earlier}
        return cls(chosen, policy, pairs, Counter({case: len(of) for case, of in pairs.items()}))

    @property
    def asked(self) -> Sequence[Case]:
        """The cases of the next pair."""
        open_ = [case for case in self.cases if self._open(case)]
        return open_ if self.retried else [case for case in open_ if self.tried[case] != MACHINE_PAIRS]

    @property
    def left(self) -> int:
        """Pairs that are still to be measured."""
        return max((MACHINE_PAIRS - self.tried[case] % MACHINE_PAIRS for case in self.asked), default=0)

    def add(self, result: PairResult) -> None:
        for case in self.asked:
            self.tried[case] += 1
            base, head = result.base[case], result.head[case]
            if isinstance(base, Timing) and isinstance(head, Timing):
                times = base.blocks.step_seconds, head.blocks.step_seconds
                pair = Pair(base_seconds=times[0], head_seconds=times[1], head_first=result.head_first)
                self.pairs.setdefault(case, []).append(pair)

    def again(self) -> None:
        """As many fresh pairs of those that are blind, beside those that there are."""
        self.retried = True

    def record(self, case: Case) -> PairedCase:
        """Of a case that needs no timing: `blind` where the machine was tried with it, and its median pair says otherwise."""
        found = unmeasured(case, SAID)
        if pairs := self.pairs.get(case, []):
            ratio = _median(pairs)
            sentence = f"{found.sentence}; in {len(pairs)} pairs, which try the machine, head took {100 * (ratio - 1):+.2f} %"
            status = "blind" if self._blind(case) else "same"
            found = found.model_copy(update={"status": status, "sentence": sentence, "ratio": ratio})
        return PairedCase(case=case, pairs=tuple(pairs), regressions=(found,), open=case in self.cases and self._open(case))

    def _open(self, case: Case) -> bool:
        """Whether pairs of it are still to be measured. Those that were begun together are judged together."""
        tried = self.tried[case]
        return tried == 0 or tried % MACHINE_PAIRS != 0 or (tried == MACHINE_PAIRS and self._blind(case))

    def _blind(self, case: Case) -> bool:
        pairs = self.pairs.get(case, [])
        return bool(pairs) and abs(_median(pairs) - 1) > max(ODD_PAIR, self.policy.margins(case.id).pair_blind / 100)


def _median(pairs: Sequence[Pair]) -> float:
    """The ratio of head to base."""
    return statistics.median(pair.head_seconds / pair.base_seconds for pair in pairs)
