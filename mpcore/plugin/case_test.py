"""A test of a case."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mpcore.records import Case


@dataclass(frozen=True)
class CaseTest:
    """trainer: the title of the other trainer that it measures, "" where there is none."""

    kind: str
    case: "Case"
    trainer: str = ""

    @property
    def name(self) -> str:
        """The name of its record."""
        return ":".join(filter(None, [self.kind, self.case.id, self.trainer]))
