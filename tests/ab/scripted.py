"""Processes that answer from a script, in place of those that measure."""

import random
from collections import Counter
from pathlib import Path

import stub

from mpcore.ab import Checkout, compare
from mpcore.gate import Policy
from mpcore.kernels.profile import profile_of
from mpcore.records import Failure, Selection

BASE, HEAD = Checkout("main", Path("base")), Checkout("the working tree", Path("head"))
NOISE = 5e-4
"""Standard deviation between processes, as an H200 has it."""


class Script:
    """Processes that answer from a script: by side and workload, the seconds of a step in process after process, or another
    answer."""

    def __init__(self, base, head):
        self.answers = {"base": base, "head": head}
        self.listings = {"base": stub.listing(*base), "head": stub.listing(*head)}
        self.loaded = {"base": None, "head": None}
        self.loads = lambda name: self.loaded[name]
        self.log = []
        self.patience = []
        self.open = Counter()
        self.selections = []
        self._processes = Counter()

    def start(self, checkout, selection):
        self.selections.append(selection)
        name = checkout.tree.name
        self.open[name] += 1
        return Scripted(self, name)

    def next(self, name):
        self._processes[name] += 1
        return self._processes[name] - 1

    @property
    def pairs(self):
        """By pair, the workloads and the side that was first."""
        return [(self.log[i][1], self.log[i][0]) for i in range(0, len(self.log), 2)]


class Scripted:
    def __init__(self, script, name):
        self.script, self.name, self.prepared = script, name, False

    def listing(self):
        return self.script.listings[self.name]

    def loaded(self):
        return self.script.loads(self.name)

    def prepare(self, cases):
        self.prepared = True

    def measure(self, cases, *, profile=False, slowdown=1.0, seconds=None):
        assert self.prepared is all(listing.waits for listing in self.script.listings.values())
        number = self.script.next(self.name)
        self.script.patience.append(seconds)
        self.script.log.append((self.name, [case.workload for case in cases]))
        return {case: self._answer(case, number, profile, slowdown) for case in cases}

    def _answer(self, case, number, profile, slowdown):
        answers = self.script.answers[self.name][case.workload]
        answer = answers(number) if callable(answers) else answers
        if isinstance(answer, str):
            return Failure(case=case, sentence=answer)
        if isinstance(answer, float):
            kernels = profile_of({"gemm": (1, answer)}) if profile else None
            return stub.timing(case.workload, answer * slowdown, profile=kernels)
        return answer

    def close(self):
        self.script.open[self.name] -= 1


def noisy(seconds, seed, spread=NOISE, then=None, after=None):
    """`seconds` with the noise of a process each time; `then` from the process `after` on."""
    random_ = random.Random(seed)

    def answer(number):
        return random_.gauss(1, spread) * (then if after is not None and number >= after else seconds)

    return answer


DEFAULTS = Policy()


def compared(script, policy=DEFAULTS, *, base=BASE, head=HEAD, **options):
    lines = []
    found = compare(base, head, Selection(), policy, progress=lines.append, start=script.start, **options)
    assert set(script.open.values()) == {0}
    return found, lines


def statuses(comparison):
    return {case.case.workload: [r.status for r in case.regressions] for case in comparison.cases}


def only(comparison):
    (case,) = comparison.cases
    return case
