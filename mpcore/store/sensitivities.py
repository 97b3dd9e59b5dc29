"""What planted faults have shown on a kind of machine: `baselines/<hardware>/sensitivity.json`, beside the accepted runs."""

from pathlib import Path

from pydantic import ValidationError

from mpcore.records import Sensitivities
from mpcore.store.atomic import locked, write
from mpcore.store.error import RunError
from mpcore.store.files import first_error, read_bytes

SENSITIVITY = "sensitivity.json"


def sensitivities(folder: Path, hardware: str) -> Sensitivities:
    """Those of a kind of machine, by its key, in a folder of accepted runs; empty where there are none. Raises RunError for a
    file that cannot be read or is another kind's."""
    path = folder / hardware / SENSITIVITY
    if not path.exists():
        return Sensitivities(hardware=hardware)
    try:
        found = Sensitivities.model_validate_json(read_bytes(path))
    except ValidationError as error:
        raise RunError(f"{path}: {first_error(error)}") from error
    if found.hardware != hardware:
        raise RunError(f"{path}: expected the sensitivity of {hardware}, found one of {found.hardware}")
    return found


def add_sensitivities(folder: Path, new: Sensitivities) -> Path:
    """In the place of older ones of the same trainings and cases. Says where they are. Raises RunError."""
    path = folder / new.hardware / SENSITIVITY
    with locked(folder):
        old = sensitivities(folder, new.hardware)
        trained, cases = [(p.workload, p.terms) for p in new.accuracy], [p.case for p in new.numerics]
        kept = Sensitivities(
            hardware=new.hardware,
            accuracy=(*(p for p in old.accuracy if (p.workload, p.terms) not in trained), *new.accuracy),
            numerics=(*(p for p in old.numerics if p.case not in cases), *new.numerics),
        )
        write({path: kept.model_dump_json(indent=1) + "\n"})
    return path
