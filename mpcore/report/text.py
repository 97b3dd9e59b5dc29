"""Words that several sections share."""

from collections import Counter
from collections.abc import Iterable

from mpcore.records import AnyRecord, FailedTest, Parity, Run


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def tally(reasons: Iterable[str]) -> list[str]:
    """Each reason once, with how many cases have it."""
    return [f"{reason} ({counted(count, 'case')})" for reason, count in Counter(reasons).items()]


def named(record: AnyRecord) -> str:
    """What a sentence calls a record."""
    return f"{kind_of(record)} of {record.case.id}"


def kind_of(record: AnyRecord) -> str:
    """In words: "speed", or "parity against Trainer"."""
    return f"{record.kind} against {record.trainer}" if isinstance(record, Parity) else record.kind


def short_test(failed: FailedTest) -> str:
    """Without its file."""
    return failed.test.split("::")[-1]


def file_name(run: Run) -> str:
    """Without its folder."""
    return run.path.rsplit("/", 1)[-1]


def measured_at(run: Run) -> str:
    """To the minute, in UTC."""
    return run.datetime[:16].replace("T", " ")


def short_commit(run: Run, unknown: str = "-") -> str:
    return (run.commit or unknown)[:8]


def named_commit(run: Run, unknown: str = "-", digits: int = 8) -> str:
    """It does not hold all that was measured where the tree had other changes."""
    return (run.commit or unknown)[:digits] + (" with uncommitted changes" if run.uncommitted else "")


def provenance(run: Run) -> str:
    """On what a run was measured, of what, and when."""
    hardware = run.machine.hardware
    memory = f", {hardware.memory_bytes / 2**30:.0f} GiB" if hardware.memory_bytes else ""
    versions = ", ".join(f"{name} {version}" for name, version in run.machine.software.items())
    return (
        f"{hardware.count} x {hardware.name}{memory}, {hardware.cores} CPU cores ({hardware.cpu}); {versions}; "
        f"commit {named_commit(run, 'unknown', 12)}; {measured_at(run)} UTC{ended(run)}"
    )


def ended(run: Run) -> str:
    """How many tests it did not reach, as the end of a sentence; "" where it reached all."""
    return f"; ended before it reached {counted(run.missed, 'more test')}" if run.missed else ""


def software_changes(before: dict[str, str], now: dict[str, str]) -> str:
    """In words, "" where it is the same."""
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    return ", ".join(f"{name} {before.get(name, 'none')} -> {now.get(name, 'none')}" for name in names)
