"""The contract holds for every mode and workload of the project."""

from mpcore.contract import *  # noqa: F403
