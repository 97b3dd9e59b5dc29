"""Records the traces beside this file: step times of the same cases in one fresh process after the other.

    python tests/traces/record.py PROCESSES FILE [WORKLOAD/MODE ...]

Run once a machine start: what a process and what a machine adds to a time is seen only between these. Each process builds
its models anew and measures every case alone, as a graph. All start at once, for their imports take longer than their
measuring, and then take turns on the GPU. Each adds a line of JSON to the file: the seconds of a step, block by block.
"""

import fcntl
import json
import subprocess
import sys
import tempfile
from pathlib import Path

LOCK = Path(tempfile.gettempdir()) / "mpcore-traces.lock"
CASES = ["resnet18-mnist/tf32", "resnet18-mnist/fp16-amp", "bert-s128/bf16-amp"]


def measure(path: Path, cases: list[str]) -> None:
    import torch

    from mpcore.device.allocator import keep_large_blocks_whole
    from mpcore.device.machine import probe, software
    from mpcore.measure import Bench
    from mpcore.records import Case

    keep_large_blocks_whole()
    traces = {}
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # before anything touches the GPU
        bench = Bench(torch.device("cuda"))
        for name in cases:
            workload, precision = name.split("/")
            case = Case(workload=workload, precision=precision, execution="graph", size="full")
            speed = bench.speed_alone(case)
            traces[name] = [seconds / speed.blocks.steps for seconds in speed.blocks.seconds]
        hardware = probe(bench.device)
        line = {"gpu": hardware.name, "uuid": hardware.uuid, "software": software(), "step_seconds": traces}
        with path.open("a") as file:
            file.write(json.dumps(line) + "\n")


def main(processes: int, path: Path, cases: list[str]) -> int:
    command = [sys.executable, __file__, "--here", str(path), *cases]
    running = [subprocess.Popen(command) for _ in range(processes)]
    return max(process.wait() for process in running)


if __name__ == "__main__":
    if sys.argv[1] == "--here":
        measure(Path(sys.argv[2]), sys.argv[3:])
    else:
        sys.exit(main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:] or CASES))
