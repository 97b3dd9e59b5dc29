"""The end of the terminal's output: what changed since the accepted runs."""

from collections.abc import Mapping, Sequence

from mpcore.gate import ACCEPT
from mpcore.records import Result, Run, Status, Verdict
from mpcore.report.terminal import listed, wrapped

LOUD: dict[Status, str] = {
    "better": f"better than accepted ({ACCEPT} makes it the baseline):",
    "undecided": "undecided against accepted runs, which passes unless --mp-strict is given:",
}


def against(
    results: Sequence[Result],
    runs: Sequence[Run],
    common: Verdict | None,
    gone: Sequence[str],
    software: Mapping[str, str],
    folder: str,
) -> str:
    """`software` of this run, `folder` of the accepted ones of this machine."""
    verdicts = [v for result in results for v in result.verdicts if v.compared]
    new = list(dict.fromkeys(f"{v.kind} of {v.case}" for v in verdicts if v.status == "new"))
    if not runs:
        advice = "save a run with --benchmark-autosave, then python -m mpcore accept FILE --reason TEXT"
        return wrapped(f"new: nothing is compared, {folder} holds no accepted run; {advice}")
    counts = [f"{n} {status}" for status in ("same", "better", "worse", "undecided") if (n := _count(verdicts, status))]
    head = f"against {len(runs)} accepted {'run' if len(runs) == 1 else 'runs'} of {folder}: {', '.join(counts) or 'nothing'}"
    lines = [wrapped(head)]
    if software != (before := runs[-1].machine.software):
        lines.append(wrapped(f"software: {_differences(before, software)}"))
    for status, title in LOUD.items():
        lines += listed(title, [v.sentence for v in (*verdicts, *([common] if common else [])) if v.status == status])
    if common and common.status in ("same", "worse"):
        lines += listed("all cases together:", [common.sentence])
    lines += listed("new, and compared with nothing:", new)
    lines += listed("gone, though the last accepted run has it (a failure with --mp-strict):", gone)
    return "\n".join(lines)


def _count(verdicts: Sequence[Verdict], status: Status) -> int:
    return sum(v.status == status for v in verdicts)


def _differences(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    names = [name for name in dict.fromkeys([*before, *now]) if before.get(name) != now.get(name)]
    return ", ".join(f"{name} {before.get(name, 'none')} -> {now.get(name, 'none')}" for name in names)
