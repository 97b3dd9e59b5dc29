"""What a session came to as markdown, for the page of a pull request or of a job: the verdict, why, and the tables folded."""

from collections import Counter
from collections.abc import Iterable, Sequence

from mpcore.records import Run
from mpcore.report.against import counts, differences, groups
from mpcore.report.escape import code, escaped, harmless
from mpcore.report.lines import counted
from mpcore.report.outcome import Outcome
from mpcore.report.rows import KEYS, parity_rows, rows
from mpcore.report.tables import ERRORS, LEADING, PARITY, QUALITY, SINCE, SPEED, VERDICT, table, title


def pull_request(outcome: Outcome) -> str:
    results = outcome.run.results
    known = [v.sentence for result in results for v in result.verdicts if v.known]
    reasons = [f"{reason} ({counted(count, 'case')})" for reason, count in Counter(outcome.skipped).items()]
    blocks = [f"**{escaped(headline(outcome))}**", *_listed("Failed", outcome.failures)]
    for heading, sentences in groups(outcome).items():
        blocks += _listed(heading[0].upper() + heading[1:], sentences)
    if outcome.accepted and (software := differences(outcome.accepted[-1], outcome.run)):
        blocks.append(escaped(f"Software: {software}"))
    blocks += _folded(f"Known: {len(known)}", _items(known)) if known else []
    blocks += _folded(f"Not run: {counted(len(outcome.skipped), 'case')}", _items(reasons)) if reasons else []
    blocks += _tables(outcome)
    return "\n\n".join([*blocks, _made(outcome.run)]) + "\n"


def headline(outcome: Outcome) -> str:
    """The verdict."""
    cases, failed = counted(outcome.ran, "case"), len(outcome.run.failed)
    missed = f", {outcome.missed:,} more were not reached" if outcome.missed else ""
    if not outcome.ran:
        return f"no case was run{missed}"
    if failed:
        return f"{failed:,} of {cases} failed{missed}"
    if outcome.failures:
        return f"the session failed, though none of its {cases} did{missed}"
    if outcome.missed:
        return f"not finished: {cases} passed, {outcome.missed:,} more were not reached"
    found = counts(outcome)
    return f"nothing got worse: {found}" if found else f"{cases} passed, compared with no accepted run"


def _listed(heading: str, sentences: Sequence[str]) -> list[str]:
    return [f"{escaped(heading)}:", _items(sentences)] if sentences else []


def _items(sentences: Iterable[str]) -> str:
    return "\n".join(f"- {escaped(sentence)}" for sentence in sentences)


def _folded(summary: str, text: str) -> list[str]:
    return [f"<details><summary>{escaped(summary)}</summary>", text, "</details>"]


def _tables(outcome: Outcome) -> list[str]:
    device = outcome.run.machine.hardware.name
    frame, others = rows(outcome.run.results, outcome.run.failed), harmless(parity_rows(outcome.run.results))
    columns = LEADING | SPEED | QUALITY | ERRORS | VERDICT | (SINCE if outcome.accepted else {})
    blocks = []
    for _, part in frame.groupby(KEYS[:-1], sort=False):
        safe = harmless(part)
        why = [f"- {row.precision}: {row.why}" for row in safe[safe.why.notna()].itertuples()]
        blocks += _folded(
            title(part, device), "\n\n".join([table(safe, columns, "github"), *(["\n".join(why)] if why else [])])
        )
    return blocks + (_folded("Against other trainers", table(others, PARITY | VERDICT, "github")) if len(others) else [])


def _made(run: Run) -> str:
    """On what, of what, and how."""
    hardware = run.machine.hardware
    versions = ", ".join(f"{name} {version}" for name, version in run.machine.software.items())
    machine = f"{hardware.count} x {hardware.name}, {hardware.cores} CPU cores ({hardware.cpu}); {versions}"
    when = f"commit {(run.commit or 'unknown')[:12]}; {run.datetime[:16].replace('T', ' ')} UTC"
    return f"{escaped(machine)}; {escaped(when)}\n\n{code(run.command)}"
