"""What a user's own runs say of how far runs differ: `baselines/<hardware>/calibration.json`, beside the accepted runs."""

from pathlib import Path

from pydantic import ValidationError

from mpcore.records import Calibration, Hardware
from mpcore.store.atomic import locked, write
from mpcore.store.error import RunError
from mpcore.store.files import first_error, read_bytes

CALIBRATION = "calibration.json"


def calibration(folder: Path, hardware: Hardware) -> Calibration | None:
    """The one of this kind of machine in a folder of accepted runs; None where there is none. Raises RunError for one that
    cannot be read or is another kind's."""
    path = folder / hardware.key / CALIBRATION
    if not path.exists():
        return None
    try:
        found = Calibration.model_validate_json(read_bytes(path))
    except ValidationError as error:
        raise RunError(f"{path}: {first_error(error)}") from error
    if found.hardware != hardware.key:
        raise RunError(f"{path}: expected the calibration of {hardware.key}, found one of {found.hardware}")
    return found


def write_calibration(folder: Path, found: Calibration) -> Path:
    """Says where it is. Raises RunError."""
    path = folder / found.hardware / CALIBRATION
    with locked(folder):
        write({path: found.model_dump_json(indent=1) + "\n"})
    return path
