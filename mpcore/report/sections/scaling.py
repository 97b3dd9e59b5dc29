"""Tables of steps on several GPUs: how they scale, what their time is spent on, and each rank."""

from collections.abc import Sequence

from mpcore.records import OWN_TRAINER, Case, Result, Speed
from mpcore.report import legends
from mpcore.report.columns import written
from mpcore.report.document import Section, Table
from mpcore.report.scaling import Scaled, launch_spread, pair_deviation, scaled

GIB, GB, MS = 2**30, 1e9, 1e3
HEADINGS = (
    *(
        "mode",
        "as",
        "GPUs",
        "batch of each",
        "step ms",
        "eager ms",
        "{unit}/s",
        "weak %",
        "strong %",
        "compute ms",
        "exposed ms",
    ),
    *("rest ms", "bus GB/s", "slowest", "GiB"),
)


def scaling(results: Sequence[Result], title: str = "Several GPUs", *, folded: bool = False) -> list[Section]:
    """A section for each workload that was spread, and what they talked by; none where none was."""
    found = scaled(results)
    spread = [each.speed for each in found if each.speed.case.spread]
    workloads = dict.fromkeys(speed.case.workload for speed in spread)
    sections = [
        _workload(name, [each for each in found if each.speed.case.workload == name], title, folded) for name in workloads
    ]
    return [*sections, Section(lead=legends.SCALING, sentences=_networks(spread))] if sections else []


def _workload(name: str, found: Sequence[Scaled], title: str, folded: bool) -> Section:
    """One GPU first, then by strategy and their number."""
    ordered = sorted(found, key=lambda each: _place(each.speed))
    headings = [heading.format(unit=found[0].speed.unit) for heading in HEADINGS]
    spare = ["slowest", "bus GB/s", "rest ms", "batch of each"]
    table = Table(headings, [_row(each) for each in ordered], "ll" + "r" * 11 + "lr", spare)
    said = [sentence for each in ordered for sentence in _launches(each.speed)]
    ranks = Section("Rank by rank", tables=[_ranks([each.speed for each in ordered]).filled], folded=True)
    return Section(f"{title}: {name}", tables=[table.filled], sentences=said, sections=[ranks], folded=folded)


def _place(speed: Speed) -> tuple[object, ...]:
    case = speed.case
    return case.precision, case.execution, case.trainer, case.spread, case.strategy, case.gpus, -speed.batch_size


def _as(case: Case) -> str:
    """How its step is spread and run, and by whom where that is not mpcore."""
    return f"{case.strategy} {case.execution}{'' if case.trainer == OWN_TRAINER else f' by {case.trainer}'}"


def _row(each: Scaled) -> list[str]:
    speed, times = each.speed, each.speed.rank_times
    weak, strong = ((None if share is None else 100 * share) for share in (each.weak_efficiency, each.strong_efficiency))
    compute, exposed = max((time.compute for time in times), default=None), speed.exposed_seconds
    bus, slowest = speed.bus_bytes_per_second, speed.slowest_rank
    return [
        speed.case.precision,
        _as(speed.case),
        str(speed.case.gpus),
        str(speed.batch_size),
        f"{MS * speed.blocks.step_seconds:.3f}",
        _of(speed.eager.step_seconds if speed.eager else None, MS, "{:.1f}"),
        f"{speed.units_per_second:,.0f}",
        written(weak, "{:.1f}"),
        written(strong, "{:.1f}"),
        *(_of(seconds, MS, "{:.2f}") for seconds in (compute, exposed, each.rest_seconds)),
        _of(bus, 1 / GB, "{:.0f}"),
        "-" if slowest is None else f"{slowest[0]} x {slowest[1]:.3f}",
        _of(speed.peak_allocated_bytes, 1 / GIB, "{:.2f}"),
    ]


def _of(value: float | None, times: float, form: str) -> str:
    return written(None if value is None else times * value, form)


def _ranks(speeds: Sequence[Speed]) -> Table:
    headings = ["mode", "as", "GPUs", "batch of each", "rank", "step ms", "compute ms", "collectives ms", "exposed ms", "GiB"]
    rows = []
    for speed in speeds:
        for rank in speed.ranks or ():
            time = (rank.time.compute, rank.time.communication, rank.time.exposed) if rank.time else (None,) * 3
            rows.append(
                [
                    speed.case.precision,
                    _as(speed.case),
                    str(speed.case.gpus),
                    str(speed.batch_size),
                    str(rank.rank),
                    f"{MS * rank.blocks.step_seconds:.3f}",
                    *(_of(seconds, MS, "{:.2f}") for seconds in time),
                    _of(rank.peak_allocated_bytes, 1 / GIB, "{:.2f}"),
                ]
            )
    return Table(headings, rows, "ll" + "r" * 8)


def _launches(speed: Speed) -> list[str]:
    spread, deviation = launch_spread(speed), pair_deviation(speed)
    if spread is None:
        return []
    of_pairs = "" if deviation is None else f"; two that follow each other differ by {100 * deviation:.2f} % (1 sd)"
    return [f"{speed.case.id}: {len(speed.launches) + 1} fresh launches lie within {100 * spread:.2f} %{of_pairs}."]


def _networks(spread: Sequence[Speed]) -> list[str]:
    """Each once: what ranks talked by, and the variables that said how."""
    found = dict.fromkeys(", ".join(f"{name} {value}" for name, value in speed.network.items()) for speed in spread)
    return [f"Ranks talked by: {network}." for network in found if network]
