"""Records the traces beside this file: step times of the same cases in one fresh process after the other.

    python tests/traces/record.py PROCESSES FILE

Run once a machine start: what a process and what a machine adds to a time is seen only between these. Each process builds
its models anew and measures every case alone, as a graph.
"""

import json
import subprocess
import sys
from pathlib import Path

CASES = [
    ("resnet18-mnist", "tf32"),
    ("resnet18-mnist", "fp16-amp"),
    ("bert-s128", "bf16-amp"),
    ("bert-s512", "fp16-amp"),
    ("bert-s512", "fp16-manual"),
    ("resnet50", "fp16-amp"),
    ("resnet50", "fp16-manual"),
]


def measure() -> dict:
    import torch

    from mpcore.hardware import probe, software
    from mpcore.measure import Bench
    from mpcore.measure.speed import measure_speed
    from mpcore.records import Case

    bench = Bench(torch.device("cuda"))
    traces = {}
    for workload, precision in CASES:
        case = Case(workload=workload, precision=precision, execution="graph", size="full")
        speed = measure_speed(bench.stand(case), {}, None)
        traces[f"{workload}-{precision}"] = [seconds / speed.blocks.steps for seconds in speed.blocks.seconds]
    hardware = probe(bench.device)
    return {"gpu": hardware.name, "uuid": hardware.uuid, "software": software(), "step_seconds": traces}


def main(processes: int, path: Path) -> None:
    command = [sys.executable, __file__]
    lines = [subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(processes)]
    found = [json.loads(line.splitlines()[-1]) for line in lines]
    machine = {name: found[0][name] for name in ("gpu", "uuid", "software")}
    path.write_text(json.dumps(machine | {"processes": [f["step_seconds"] for f in found]}, indent=1) + "\n")


if __name__ == "__main__":
    if len(sys.argv) == 3:
        main(int(sys.argv[1]), Path(sys.argv[2]))
    else:
        print(json.dumps(measure()))
