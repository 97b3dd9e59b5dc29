"""Whether what is lost would be seen: faults are planted in trainings and in gradients, and judged as the suite judges."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence

from mpcore.gate.accuracy import proof_terms, tolerance_points
from mpcore.gate.checks import checks
from mpcore.gate.limits import LEAST_SEEDS
from mpcore.measure import CASE_ERRORS, Bench, one_sentence
from mpcore.measure.planted import FAULTS, SKIPPED_SHARES, Fault, skipped
from mpcore.precision import Inapplicable
from mpcore.records import AccuracyProof, Case, Check, GradientProof, Quality, Result, Scores, Sensitivities, Sensitivity
from mpcore.report.document import Section, Table
from mpcore.training.loop import Diverged
from mpcore.training.of_workload import WorkloadStep
from mpcore.workloads import OwnStep, workloads

REFERENCE = "fp32"
SEEDS = 6
"""Each three are a trial, so there are twenty. Where three do not decide all six do, as the suite takes more seeds then."""
MILD = 2.0
"""Tolerances that the fault to be found may cost. Where it costs more, milder ones are tried."""
HALVINGS = 2
Progress = Callable[[str], None]


def prove(
    bench: Bench,
    cases: Sequence[Case],
    hardware: str,
    keep: Callable[[Sensitivities], None],
    progress: Progress,
    named: Sequence[str] = (),
) -> Iterator[Section]:
    """A section for the accuracy of each workload, by its first case that is to compute in 16 bits. Then one for the numerics
    of all cases. bench: trains from `SEEDS` seeds. keep: is given each part as soon as it is there. named: workloads that are
    trained though it takes long."""
    for case in _trained(bench, cases, named):
        progress(f"{case.id}: trainings")
        try:
            proof, table = prove_accuracy(bench, case, progress)
        except (*CASE_ERRORS, Inapplicable) as error:
            yield Section(sentences=[f"{case.id}: {one_sentence(error)}"])
            continue
        keep(Sensitivities(hardware=hardware, accuracy=(proof,)))
        yield _accuracy_section(case, proof.sensitivity, table)
    found, failed = [], []
    for case in cases:
        progress(f"{case.id}: gradients")
        try:
            found.append(bench.found_gradients(case))
        except (*CASE_ERRORS, Inapplicable) as error:
            failed.append(f"{case.id}: {one_sentence(error)}")
        else:
            keep(Sensitivities(hardware=hardware, numerics=(found[-1],)))
    yield gradients_section(found, failed)


def prove_accuracy(bench: Bench, case: Case, progress: Progress) -> tuple[AccuracyProof, Table]:
    """By trainings of FP32, of the mode of `case`, and of that mode with each fault. Worse shares of skipped steps are tried
    only while none costs a tolerance, and milder ones where it costs more than `MILD`. Raises what a training raises."""
    reference = bench.planted_accuracy(case.in_precision(REFERENCE), _nothing, None)
    sound = bench.planted_accuracy(case, _nothing, reference)
    tolerance = tolerance_points(sound, sound.requirements.tolerance_points or 0.0)
    rows: list[list[str]] = []
    costly: list[tuple[Fault, Quality]] = []

    def tell(called: str, lost: str, missed: str, trials: str) -> None:
        """Said at once, too: what is interrupted has said what it knows."""
        rows.append([called, lost, missed, trials])
        progress(f"{case.id}: planted: {called}, points lost: {lost}, not passed: {missed} of {trials}")

    def cost(fault: Fault) -> float:
        """In tolerances."""
        try:
            faulty = bench.planted_accuracy(case, fault.plant, reference)
        except Diverged:  # which no accuracy is needed for
            tell(fault.called, "diverged", *[str(len(_draws(reference)))] * 2)
            return math.inf
        tell(fault.called, *_trials(faulty, reference, sound))
        lost = -(faulty.points or 0.0)
        if lost >= tolerance > 0:
            costly.append((fault, faulty))
        return lost / tolerance if tolerance else 0.0

    tell("none", *_trials(sound, reference, sound))
    mild = [1 <= cost(fault) <= MILD for fault in FAULTS]
    _skip_until_it_costs(cost, halvings=0 if any(mild) else HALVINGS)
    sensitivity = _sensitivity(reference, sound, tolerance, costly)
    proof = AccuracyProof(workload=case.workload, terms=proof_terms(sound), sensitivity=sensitivity)
    return proof, Table(["planted", "points lost", "not passed", "of"], rows, "lrrr")


def _skip_until_it_costs(cost: Callable[[Fault], float], halvings: int) -> None:
    """Skips more and more steps until that costs a tolerance. Where it costs far more, it goes halfway back to the last share
    that cost less: a fault that anybody would see proves little."""
    less = 0.0
    for share in SKIPPED_SHARES:
        found = cost(skipped(share))
        if found >= 1:
            break
        less = share
    else:
        return
    for _ in range(halvings):
        if found <= MILD:
            return
        middle = (less + share) / 2
        found_there = cost(skipped(middle))
        less, share, found = (less, middle, found_there) if found_there >= 1 else (middle, share, found)


def _sensitivity(reference: Quality, sound: Quality, tolerance: float, costly: Sequence[tuple[Fault, Quality]]) -> Sensitivity:
    below = 0.0 if reference.lower_is_better else 100 * (1 - reference.scores.mean) / (tolerance or 1.0)
    trials = len(_draws(reference))
    alarms = _caught(sound, reference, sound)
    if not costly:
        return Sensitivity(tolerances_to_ceiling=below, found=0, trials=trials, alarms=alarms)
    fault, faulty = min(costly, key=lambda each: -(each[1].points or 0.0))
    return Sensitivity(
        tolerances_to_ceiling=below,
        found=_caught(faulty, reference, sound),
        trials=trials,
        fault=fault.called,
        lost_points=-(faulty.points or 0.0),
        alarms=alarms,
    )


def _trials(faulty: Quality, reference: Quality, sound: Quality) -> list[str]:
    caught, lost = _caught(faulty, reference, sound), -(faulty.points or 0.0)
    return [f"{lost:+.2f}", str(caught), str(len(_draws(reference)))]


def _caught(faulty: Quality, reference: Quality, sound: Quality) -> int:
    """How many trials do not pass: each of as many seeds as the suite trains from, beside all sound trainings."""
    return sum(not _passes(faulty, reference, sound, seeds) for seeds in _draws(reference))


def _draws(reference: Quality) -> list[tuple[int, ...]]:
    return list(itertools.combinations((training.seed for training in reference.trainings), LEAST_SEEDS))


def _passes(faulty: Quality, reference: Quality, sound: Quality, seeds: Sequence[int]) -> bool:
    found = _judged(faulty, reference, sound, seeds)
    if any(check.status == "inconclusive" for check in found):
        found = _judged(faulty, reference, sound, list(reference.scores.by_seed))
    return all(check.passed for check in found)


def _judged(faulty: Quality, reference: Quality, sound: Quality, seeds: Sequence[int]) -> list[Check]:
    """Trainings from some of the seeds."""
    by_seed = {seed: reference.scores.by_seed[seed] for seed in seeds}
    drawn = faulty.model_copy(
        update={
            "trainings": tuple(training for training in faulty.trainings if training.seed in seeds),
            "reference": Scores(precision=REFERENCE, by_seed=by_seed),
        }
    )
    others = [] if faulty is sound else [Result(record=sound)]
    return checks(drawn, others)


def _trained(bench: Bench, cases: Sequence[Case], named: Sequence[str]) -> list[Case]:
    """One of each workload that is trained, whose mode keeps its updates."""
    found: dict[str, Case] = {}
    for case in cases:
        kind = workloads[case.workload]
        asked = case.workload in named or not kind.long_training
        if asked and not issubclass(kind, OwnStep) and not kind.synthetic:
            required = bench.setups.of(case).requirements
            if required.low_precision and not required.loses_updates and required.tolerance_points:
                found.setdefault(case.workload, case)
    return list(found.values())


def _nothing(step: WorkloadStep) -> None:
    """No fault."""


def _accuracy_section(case: Case, found: Sensitivity, table: Table) -> Section:
    said = (
        f"The mildest fault that costs a tolerance, {found.fault}, is found {found.found} times in {found.trials}."
        if found.fault
        else "None of the faults costs a tolerance: what this case says of accuracy is not shown."
    )
    lead = f"{case.id}: FP32 lies {found.tolerances_to_ceiling:.1f} tolerances below the ceiling."
    return Section(lead=lead, tables=[table], sentences=[said])


def gradients_section(proofs: Sequence[GradientProof], failed: Sequence[str] = ()) -> Section:
    """A row for each proof, the sentences of `failed` below."""
    faults = list(dict.fromkeys(fault for proof in proofs for fault in proof.found))
    rows = [
        [proof.case.id, str(proof.tensors), *(f"{100 * proof.found[fault] / proof.tensors:.0f} %" for fault in faults)]
        for proof in proofs
    ]
    lead = "Wrong gradients in one tensor that are found, of all tensors in their turn:"
    return Section(
        lead=lead, tables=[Table(["case", "tensors", *faults], rows, "l" + "r" * (1 + len(faults)))], sentences=failed
    )
