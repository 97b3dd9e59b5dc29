"""When something was done."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator


def _in_utc(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC).isoformat()
    except (ValueError, OverflowError):  # as on the first day that there is
        pass
    raise ValueError("expected a date and time with its zone, such as 2026-01-31T12:00:00+00:00")


Moment = Annotated[str, AfterValidator(_in_utc)]
"""In UTC, whatever its zone was: runs are sorted by its text, and its day tells starts of a machine apart."""
