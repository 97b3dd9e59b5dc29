"""Hardware and software."""

import re

from pydantic import PositiveInt, model_validator

from mpcore.records.base import Number, Record

RESERVED = ("", "published")
"""Keys that no machine has."""
LONGEST = 200
"""Bytes of a key: names of files end at 255 on most systems."""


class Hardware(Record):
    """The machine. Memory and power of one device; None where it cannot be read. default_watts: the power limit that the
    device is delivered with. locked_mhz: the clock that it is told to keep to, where that is not the usual one. label: what
    tells it from other machines of the same kind, as whoever measures calls it."""

    device: str
    name: str
    count: PositiveInt
    memory_bytes: int | None
    power_limit_watts: Number | None
    default_watts: Number | None = None
    mig: str | None
    uuid: str | None
    capability: str | None
    cpu: str
    cores: PositiveInt
    locked_mhz: PositiveInt | None = None
    label: str | None = None

    @model_validator(mode="after")
    def _can_be_a_folder(self) -> "Hardware":
        if self.key in RESERVED:
            raise ValueError(f"name {self.name!r}: expected one that can name a folder, not {' or '.join(map(repr, RESERVED))}")
        if not re.fullmatch(r"[\w-]+", self.key) or len(self.key.encode()) > LONGEST:
            named = f"name {self.name!r:.40} and label {self.label!r:.40}"
            raise ValueError(f"{named}: expected what can name a folder: letters, digits and hyphens, {LONGEST} bytes at most")
        return self

    @property
    def key(self) -> str:
        """What makes two machines comparable, as the name of a folder: "nvidia-h200", or "intel-xeon-processor-2-cores". An
        unusual power limit makes it "nvidia-h200-600w", a locked clock "nvidia-h200-1200mhz", a label "nvidia-h200-at-gcp". A
        GPU's name tells its memory, and under MIG its profile. How many GPUs there are is not in it: how many a step is spread
        over, its case says."""
        name = re.sub(r"\W+", "-", re.sub(r"\((R|TM)\)", "", self.name, flags=re.IGNORECASE).lower()).strip("-")
        at = f"-at-{self.label}" if self.label else ""
        if self.device == "cpu":
            return f"{name}-{self.cores}-cores{at}"
        limit, usual = self.power_limit_watts, self.default_watts
        watts = f"-{limit:.0f}w" if limit and usual and round(limit) != round(usual) and not self.portable else ""
        clock = f"-{self.locked_mhz}mhz" if self.locked_mhz else ""
        mig = "-mig" if self.mig == "on" and "mig" not in name else ""
        return name + mig + watts + clock + at

    @property
    def portable(self) -> bool:
        """Whether it is a laptop's GPU, whose power limit moves with what its CPU takes, and is no setting."""
        name = self.name.lower()
        return "workstation" not in name and re.search(r"laptop|mobile|max-q", name) is not None


class Machine(Record):
    """Hardware, and versions of the software that is being tested."""

    hardware: Hardware
    software: dict[str, str]
