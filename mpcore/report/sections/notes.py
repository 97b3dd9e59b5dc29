"""What to know of a session's figures: what was trained, how the machine behaved, what is known of a mode, what was not run."""

from collections.abc import Iterable, Mapping, Sequence

from mpcore.gate import saturation
from mpcore.records import Case, Drift, Numerics, Quality, Race, Result, Run, Speed, TensorErrors
from mpcore.report.document import Section
from mpcore.report.rows import Row
from mpcore.report.text import counted, tally


def notes(results: Sequence[Result]) -> list[Section]:
    """What was trained from what, what modes say of themselves, which tensors were wrong by most, and what the machine did."""
    return [
        Section(sentences=said)
        for of in (_trained, _saturated, _modes, _tensors, _machine)
        if (said := list(dict.fromkeys(of(results))))
    ]


def known(results: Sequence[Result], *, folded: bool = False) -> list[Section]:
    """The losses that a mode is known for, which are no faults."""
    said = [check.sentence for r in results for check in r.checks if check.status == "expected_failure"]
    return [Section(f"Known: {len(said)}" if folded else "known:", sentences=said, folded=folded)] if said else []


def not_run(run: Run, *, folded: bool = False) -> list[Section]:
    """Why cases were not run, each reason once."""
    reasons = [test.reason for test in run.skipped]
    title = f"Not run: {counted(len(reasons), 'case')}" if folded else "not run:"
    return [Section(title, sentences=tally(reasons), folded=folded)] if reasons else []


def drifted(shares: Mapping[str, float], took: str = "") -> str:
    """By mode, how much longer a reference took in the end."""
    return ", ".join(f"{mode} {took}{100 * share:+.2f} %" for mode, share in shares.items())


def _saturated(results: Iterable[Result]) -> Iterable[str]:
    """Workloads whose accuracies say little."""
    for result in results:
        if isinstance(result.record, Quality) and (why := saturation(result.record)):
            yield f"saturated: {why}"


def _trained(results: Iterable[Result]) -> Iterable[str]:
    """An accuracy means little without."""
    for result in results:
        record = result.record
        if isinstance(record, Quality):
            weights = "random weights" if record.weights == "random" else f"weights of {record.weights}"
            samples = f"{record.rows['train']:,} {record.samples} ({record.data} data)"
            yield f"{record.case.subject}: trained from {weights} on {samples}"


def _modes(results: Iterable[Result]) -> Iterable[str]:
    for speed in (r.record for r in results if isinstance(r.record, Speed)):
        if speed.remark:
            yield f"{_where(speed.case)}: {speed.case.precision}: {speed.remark}"


def _tensors(results: Iterable[Result]) -> Iterable[str]:
    """Of each workload what is to be known of its loss, and of all modes the tensor that is nearest to its limit."""
    worst: dict[str, tuple[TensorErrors, Numerics]] = {}
    for numerics in (r.record for r in results if isinstance(r.record, Numerics)):
        where, tensor = _where(numerics.case), numerics.worst_tensor
        if numerics.remark:
            yield f"{where}: {numerics.remark}"
        if tensor and (where not in worst or tensor.gradient_share > worst[where][0].gradient_share):
            worst[where] = tensor, numerics
    for where, (tensor, numerics) in worst.items():
        yield f"{where}: in {numerics.case.precision} {worst_gradient(tensor)}"


def more_seeds(group: Sequence[Row]) -> list[str]:
    """Of each that was trained from more seeds than others, which is why its points are not the difference of two rows."""
    least = min((row["seeds"] for row in group if row["seeds"]), default=0)
    return [
        f"{row['precision']}: trained from {row['seeds']} seeds, as was the mode that its points are against. A row with "
        "fewer seeds shows the first of them"
        for row in group
        if row["seeds"] and row["seeds"] > least
    ]


def worst_gradient(tensor: TensorErrors) -> str:
    """Whose it is, how far it is off, and how far it may be: where that is as much as the gradient itself, hardly anything is
    found."""
    said = f"the worst gradient, of {tensor.where}, is {tensor.gradient_error:.2g} off where {tensor.gradient_limit:.2g} may be"
    hardly = (tensor.gradient_limit or 0.0) >= 1
    return f"{said}. Rounding alone moves it so far that a wrong one may pass" if hardly else said


def _machine(results: Iterable[Result]) -> Iterable[str]:
    """How far it drifted while a workload was timed, what it could not measure, and who else was on it."""
    speeds = [r.record for r in results if isinstance(r.record, Speed)]
    told = [speed.gpu for speed in speeds]
    told += [turns.gpu for r in results if isinstance(r.record, Race) for turns in r.record.turns]
    for drift in (r.record for r in results if isinstance(r.record, Drift)):
        yield f"{_where(drift.case)}: from its beginning to its end {drifted(drift.shares, 'took ')}"
    for speed in speeds:
        yield from (f"{_where(speed.case)}: no {mode} to compare with: {why}" for mode, why in speed.missing.items())
    if any(gpu and gpu.other_processes for gpu in told):
        yield "other processes were on the GPU while it was timed"
    if any(s.device == "cuda" and s.gpu is None for s in speeds):
        yield "NVML does not answer: clocks, power and throttling of the GPU are not known"
    for field, why in {f: w for s in speeds if s.gpu for f, w in s.gpu.untold.items()}.items():
        yield f"NVML does not tell this GPU's {field}: {why}"


def _where(case: Case) -> str:
    return f"{case.subject} ({case.execution})"
