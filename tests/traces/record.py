"""Records the traces beside this file: step times of the same cases in one fresh process after the other.

    python tests/traces/record.py PROCESSES FILE [WORKLOAD/MODE ...]

Run once a machine start: what a process and what a machine adds to a time is seen only between these. Each process builds
its models anew and measures every case alone, as a graph.
"""

import json
import subprocess
import sys
from pathlib import Path

CASES = ["resnet18-mnist/tf32", "resnet18-mnist/fp16-amp", "bert-s128/bf16-amp", "bert-s128/fp16-manual"]


def measure(cases: list[str]) -> dict:
    import torch

    from mpcore.hardware import probe, software
    from mpcore.measure import Bench
    from mpcore.measure.speed import measure_speed
    from mpcore.records import Case

    bench = Bench(torch.device("cuda"))
    traces = {}
    for name in cases:
        workload, precision = name.split("/")
        case = Case(workload=workload, precision=precision, execution="graph", size="full")
        speed = measure_speed(bench.stand(case), {}, None)
        traces[name] = [seconds / speed.blocks.steps for seconds in speed.blocks.seconds]
    hardware = probe(bench.device)
    return {"gpu": hardware.name, "uuid": hardware.uuid, "software": software(), "step_seconds": traces}


def main(processes: int, path: Path, cases: list[str]) -> None:
    command = [sys.executable, __file__, "--here", *cases]
    lines = [subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout for _ in range(processes)]
    found = [json.loads(line.splitlines()[-1]) for line in lines]
    machine = {name: found[0][name] for name in ("gpu", "uuid", "software")}
    path.write_text(json.dumps(machine | {"processes": [f["step_seconds"] for f in found]}, indent=1) + "\n")


if __name__ == "__main__":
    if sys.argv[1] == "--here":
        print(json.dumps(measure(sys.argv[2:])))
    else:
        main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:] or CASES)
