"""The longest kernels of each workload's fastest step, and why they are there."""

from collections.abc import Iterable, Sequence

from mpcore.kernels.classify import classify
from mpcore.kernels.names import short
from mpcore.kernels.reasons import REASONS
from mpcore.records import Profile, Run, Speed
from mpcore.report.document import Section, Table
from mpcore.report.rows import group_of, how, keys

HEADINGS = ("kernel", "family", "launches", "ms", "share")
NO_PROFILE = "No step of this run has a list of kernels."


def longest_kernels(runs: Sequence[Run], count: int) -> list[Section]:
    """A section for each workload, size and execution: of the mode that is fastest there and keeps its updates."""
    found = [_section(run, speed, speed.profile, count) for run in runs for speed in _fastest(run) if speed.profile]
    return found or [Section(lead=NO_PROFILE)]


def _fastest(run: Run) -> Iterable[Speed]:
    groups: dict[tuple[object, ...], Speed] = {}
    for speed in (result.record for result in run.results if isinstance(result.record, Speed)):
        group = group_of(keys(speed.case))
        keeps = not (speed.requirements.loses_updates or speed.requirements.negative_control)
        if keeps and (group not in groups or speed.blocks.step_seconds < groups[group].blocks.step_seconds):
            groups[group] = speed
    return groups.values()


def _section(run: Run, speed: Speed, profile: Profile, count: int) -> Section:
    case, longest = speed.case, profile.kernels[:count]
    families = {kernel.name: classify(kernel.name)[0] for kernel in longest}
    rows = [
        [
            short(kernel.name),
            families[kernel.name],
            f"{kernel.count:g}",
            f"{1e3 * kernel.seconds:.2f}",
            f"{100 * kernel.seconds / profile.seconds:.0f} %",
        ]
        for kernel in longest
    ]
    lead = (
        f"A step of {speed.batch_size} {speed.samples} takes {1e3 * speed.blocks.step_seconds:.2f} ms on "
        f"{run.machine.hardware.name}, its {sum(f.count for f in profile.families):.0f} kernels {1e3 * profile.seconds:.2f} ms."
    )
    reasons = [f"{family}: {REASONS[family]}." for family in dict.fromkeys(families.values()) if family in REASONS]
    title = f"{case.workload}, {case.size}, {case.precision}, {how(keys(case))}"
    return Section(title, lead, [Table(HEADINGS, rows, "llrrr")], reasons)
