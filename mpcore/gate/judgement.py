"""What every judgement of a record is made of."""

from typing import Any

from mpcore.records import AnyRecord


def judgement_of(record: AnyRecord, metric: str, value: float | None, limit: float | None, sentence: str) -> dict[str, Any]:
    """The fields that a `Check` and a `Regression` share. sentence: without its subject, which is put before it."""
    return {
        "kind": record.kind,
        "case": record.case.id,
        "metric": metric,
        "value": value,
        "limit": limit,
        "sentence": f"{record.case.subject}: {sentence}",
    }
