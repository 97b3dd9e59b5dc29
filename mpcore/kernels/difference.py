"""What changed between the kernels of two steps, and a sentence that says so."""

from collections.abc import Mapping
from dataclasses import dataclass

from mpcore.errors import sentences
from mpcore.kernels.classify import Bits, classify
from mpcore.kernels.names import short
from mpcore.records import REST, Kernel, Profile

NOISE = 1e-3
"""Share of a step below which a difference is not worth a word."""
EXPLAINED = 0.5
"""Share of a change by the clock that kernels must make up, to be its cause."""
MINOR = 0.1
"""Share of the largest change below which another is not worth a word."""


@dataclass(frozen=True)
class Change:
    """One kernel in two profiles, None where it is not listed. There it may take `hidden` seconds at most, in the rest, and is
    new or gone for certain if that is 0. unlisted: how often it is launched there, None where that is not known."""

    name: str
    before: Kernel | None
    after: Kernel | None
    hidden: float = 0.0
    unlisted: float | None = None

    @property
    def seconds(self) -> float:
        return (self.after.seconds if self.after else 0.0) - (self.before.seconds if self.before else 0.0)


def difference(before: Profile, after: Profile) -> list[Change]:
    """What changed, largest change first. The rest counts as one kernel, so that all changes add up to the change of the step.

    A kernel that only one profile lists may be in the rest of the other. Then its change is overstated, and the change of the
    rest understated as much: by no more than the shortest kernel that the other lists.
    """
    old, new = ({k.name: k for k in (*p.kernels, p.rest) if k} for p in (before, after))
    changes = [
        *(Change(name, kernel, new.get(name), *_unlisted(name, after, new)) for name, kernel in old.items()),
        *(Change(name, None, kernel, *_unlisted(name, before, old)) for name, kernel in new.items() if name not in old),
    ]
    return sorted(changes, key=lambda c: (-abs(c.seconds), c.name))


def explain_difference(before: Profile, after: Profile, most: int = 3, *, more: float | None = None) -> str:
    """How long a step takes, how much more or less that is, and the `most` families that explain it. A family may be replaced
    by the one or two kernels that make up its change. more: by how many seconds a step takes longer by the clock; kernels may
    explain a part only."""
    total, floor = after.seconds - before.seconds, NOISE * max(before.seconds, after.seconds)
    families = _families(before, after)
    told = [f for f in families[:most] if abs(f[1].seconds) > max(floor, MINOR * abs(families[0][1].seconds))]
    share = f" ({100 * abs(total) / before.seconds:.1f} %)" if before.seconds else ""
    moved = f"{_ms(abs(total))}{share} {'more' if total > 0 else 'less'}" if abs(total) > floor else "as before"
    sentence = f"a step takes {_ms(after.seconds)} of device time, {moved}"
    kernels = [k for k in difference(before, after) if k.name != REST]
    parts = [_part(change, [k for k in kernels if classify(k.name) == kind]) for kind, change in told]
    left = total - sum(change.seconds for _, change in told)
    if parts and abs(left) > floor:
        parts.append(f"all else {_ms(left, '+')}")
    if more is not None and total < EXPLAINED * more:
        said = f"kernels explain {_ms(max(0.0, total))} of {_ms(more)}: the rest is launches, Python or waiting"
        sentence = sentences(said, sentence)
    return sentence + (f": {', '.join(parts)}" if parts else "")


def _unlisted(name: str, profile: Profile, listed: Mapping[str, Kernel]) -> tuple[float, float | None]:
    """The longest that a kernel may take that the profile does not list, and how often it launches it. It takes no longer than
    those listed, nor than its family."""
    if name in listed or profile.rest is None:
        return 0.0, None
    count = None if profile.counts is None else profile.counts.get(name, 0)
    if count == 0:
        return 0.0, None
    family = sum(f.seconds for f in profile.families if (f.name, f.bits) == classify(name))
    return min(family, *(k.seconds for k in (profile.rest, *profile.kernels))), count


def _families(before: Profile, after: Profile) -> list[tuple[tuple[str, Bits], Change]]:
    """All families as if each were one kernel, largest change first. The width is named where there are several."""
    old, new = (
        {(f.name, f.bits): Kernel(name=f.name, count=f.count, seconds=f.seconds) for f in p.families} for p in (before, after)
    )
    names = [name for name, _ in old | new]
    label = {(name, bits): f"{bits}-bit {name}" if bits and names.count(name) > 1 else name for name, bits in old | new}
    changes = [(kind, Change(label[kind], old.get(kind), new.get(kind))) for kind in old | new]
    return sorted(changes, key=lambda c: (-abs(c[1].seconds), c[1].name))


def _part(family: Change, kernels: list[Change]) -> str:
    large = [k for k in kernels if abs(k.seconds) >= abs(family.seconds) / 2 and abs(k.seconds) > 2 * k.hidden][:2]
    for few in (large[:1], large[:2]):
        if few and abs(sum(k.seconds for k in few) - family.seconds) <= MINOR * abs(family.seconds):
            return " and ".join(f"{_moved(k)} ({family.name}, {_launches(k)})" for k in few)
    shares = [k.seconds / family.seconds for k in large]
    how = "mostly" if all(s > 0 for s in shares) and sum(shares) <= 1 else "with"
    which = f", {how} {' and '.join(_moved(k) for k in large)}" if large else ""
    return f"{family.name} {_ms(family.seconds, '+')} ({_launches(family)}{which})"


def _moved(kernel: Change) -> str:
    return f"{short(kernel.name)} {'up to ' if kernel.hidden else ''}{_ms(kernel.seconds, '+')}"


def _launches(change: Change) -> str:
    counts = (kernel.count if kernel else change.unlisted for kernel in (change.before, change.after))
    before, after = (f"{n:.6g} launch{'' if n == 1 else 'es'}" if n else "" for n in counts)
    if before and after:
        return after if before == after else f"{before.split()[0]} -> {after}"
    if after:
        return f"{after}, not among the longest before" if change.hidden else f"new, {after}"
    return f"{before}, no longer among the longest" if change.hidden else f"gone, {before}"


def _ms(seconds: float, sign: str = "") -> str:
    return f"{1000 * seconds:{sign}.{2 if abs(seconds) >= 1e-4 else 3}f} ms"
