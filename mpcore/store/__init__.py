"""Saved runs and baselines: pytest-benchmark's own files, with a whole run in each. A file that cannot be used is one clear
sentence, and never taken for none."""

from mpcore.store.accept import KEEP, Candidate, accept, check
from mpcore.store.atomic import check_writable, write
from mpcore.store.baselines import accepted, accepted_last, all_accepted, check_folder, comparable
from mpcore.store.calibrations import calibration, write_calibration
from mpcore.store.convert import convert_file, converted
from mpcore.store.error import RunError
from mpcore.store.files import KEY, first_error, load, load_either, load_published, read, to_run
from mpcore.store.folder import files_in
from mpcore.store.reset import since_reset
from mpcore.store.sensitivities import add_sensitivities, sensitivities

__all__ = [
    "KEEP",
    "KEY",
    "Candidate",
    "RunError",
    "accept",
    "accepted",
    "accepted_last",
    "add_sensitivities",
    "all_accepted",
    "calibration",
    "check",
    "check_folder",
    "check_writable",
    "comparable",
    "convert_file",
    "converted",
    "files_in",
    "first_error",
    "load",
    "load_either",
    "load_published",
    "read",
    "sensitivities",
    "since_reset",
    "to_run",
    "write",
    "write_calibration",
]
