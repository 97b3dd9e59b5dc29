"""A tree whose `mpcore.runner` answers at once what a plan says, so that processes can be tested without waiting for torch."""

import json
from pathlib import Path

from mpcore.kernels.profile import profile_of
from mpcore.records import Blocks, Case, Hardware, Listing, Machine, Operation, Timing, Work
from mpcore.records.protocol import KINDS

SCRIPT = """
import json, os, random, signal, sys, time
from pathlib import Path

plan = json.loads((Path(__file__).parent.parent / "plan.json").read_text())
answers = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)
print("a workload may print what it likes")


def say(record):
    answers.write(json.dumps(record) + "\\n")


selection = json.loads(sys.stdin.readline())
if plan.get("refuses"):
    say({"kind": "failure", "case": None, "sentence": plan["refuses"]})
    sys.exit(1)
exec(plan.get("first", ""))
say({"kind": "ready"})
for line in sys.stdin:
    request = json.loads(line)
    if "case" not in request:
        say(plan["loaded"] if request.get("kind") == "loaded" else plan["listing"])
        continue
    name = request["case"]["workload"]
    exec(plan.get("does", {}).get(name, ""))
    answer = plan["answers"][name]
    if answer["kind"] == "timing":
        noise = 1 + 1e-4 * random.random()
        times = noise * request.get("slowdown", 1.0)
        answer = dict(answer, blocks={"steps": 10, "seconds": [s * times for s in plan["seconds"][name]]})
        answer["profile"] = plan["profile"] if request.get("profile") else None
    say(answer)
"""
HARDWARE = Hardware(
    device="cpu", name="Some CPU", count=1, memory_bytes=None, power_limit_watts=None, mig=None, uuid=None,
    capability=None, cpu="Some CPU", cores=2,
)  # fmt: skip


def case(workload: str) -> Case:
    return Case(workload=workload, precision="fp32", execution="graph", size="full")


def timing(workload: str, step_seconds: float = 0.001, **changed) -> Timing:
    terms = {"workload_version": 1, "device": "cuda", "batch_size": 32, "unit": "rows", "pool_bytes": 2**30}
    return Timing(case=case(workload), blocks=Blocks(steps=10, seconds=(10 * step_seconds,) * 3), **(terms | changed))


def work(workload: str, casts: int = 1, **changed) -> Work:
    """Of a step with so many casts in its module `layer`, and nothing else."""
    terms = {"workload_version": 1, "device": "cpu", "batch_size": 32, "unit": "rows", "software": {"torch": "2.11.0"}}
    none = dict.fromkeys(("saved_bytes", "parameter_bytes", "gradient_bytes", "optimiser_bytes"), 0)
    operations = {Operation("_to_copy", "bfloat16", "8", "layer", "forward").text: casts}
    counts = {"casts": casts, "cast_bytes": 6 * casts, "operations": operations, "flops_by_dtype": {}, "synchronisations": ()}
    return Work(case=case(workload), **(terms | none | counts | changed))


def listing(*workloads: str, unknown=(), torch="2.11.0", kinds=tuple(k for k in KINDS if k != "loaded")) -> Listing:
    machine = Machine(hardware=HARDWARE, software={"torch": torch})
    return Listing(machine=machine, cases=tuple((case(name), None) for name in workloads), unknown=unknown, kinds=kinds)


def tree(folder: Path, seconds: dict[str, float], **plan) -> Path:
    """A folder in which the step of each workload takes `seconds`. does: by workload, what its process does first, in Python.
    answers: by workload, another answer than a time. first: what the process does before it is ready. listing: another one.
    loaded: what it says of its code; without it, it is too old to."""
    (folder / "mpcore").mkdir(parents=True, exist_ok=True)
    (folder / "mpcore" / "__init__.py").write_text("")
    (folder / "mpcore" / "runner.py").write_text(SCRIPT)
    answers = {name: timing(name).model_dump(mode="json") for name in seconds} | plan.pop("answers", {})
    content = {
        "listing": listing(*seconds).model_dump(mode="json"),
        "answers": answers,
        "seconds": {name: [10 * s] * 3 for name, s in seconds.items()},
        "profile": profile_of({"gemm": (1, sum(seconds.values()))}).model_dump(mode="json"),
    }
    if "loaded" in plan and "listing" not in plan:
        plan["listing"] = listing(*seconds, kinds=KINDS).model_dump(mode="json")
    (folder / "plan.json").write_text(json.dumps(content | plan))
    return folder
