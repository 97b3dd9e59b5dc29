"""Measures the workloads of planted.py that are named, on two ranks, as a session does; says what came of each."""

import sys
from pathlib import Path

from mpcore.parallel.launch import Launcher
from mpcore.records import Case, Selection
from mpcore.runner import Timeouts

PLANTED = str(Path(__file__).parent / "planted.py")


def case(name, **fields):
    return Case(workload=name, precision="fp32", size="tiny", **({"gpus": 2} | fields))


def launcher(*names, ranks=2, seconds=60.0, **fields):
    """fields: of the selection."""
    selection = Selection(workloads=names, **({"load": (PLANTED,), "device": "cpu", "size": "tiny"} | fields))
    return Launcher(Path.cwd(), selection, ranks, timeouts=Timeouts(case=seconds))


if __name__ == "__main__":
    with launcher(*sys.argv[1:], seconds=600) as ranks:
        for each, measured in ranks.measuring([case(name) for name in sys.argv[1:]]):
            print(each.workload, measured.kind, flush=True)
