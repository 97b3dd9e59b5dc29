"""Records as a measurement would make them."""

from mpcore.records import (
    Blocks,
    Case,
    Drift,
    Entrant,
    GpuState,
    Hardware,
    Machine,
    Numerics,
    Operation,
    Parity,
    Quality,
    Race,
    Reference,
    Requirements,
    Result,
    Run,
    Speed,
    Training,
    Turns,
    Work,
)
from mpcore.records.work import compressed


def case(precision="fp16-amp"):
    return Case(workload="bert-imdb", precision=precision, size="tiny")


def shared(precision="fp16-amp"):
    return {"case": case(precision), "workload_version": 1, "device": "cpu", "batch_size": 32, "unit": "reviews"}


def speed(loss_before=0.7, loss_after=0.5, seconds=(1.0, 1.1, 0.9), fp32=(4.0, 4.4, 3.6), apart=False, **changes):
    """In turns with fp32, unless that was timed `apart`; a block is two steps of the case and four of fp32."""
    own = Blocks(steps=2, seconds=seconds)
    fields = {
        "blocks": own,
        "eager": None,
        "references": {"fp32": Reference(blocks=Blocks(steps=4, seconds=fp32), rounds=None if apart else own)},
        "peak_allocated_bytes": None,
        "peak_reserved_bytes": None,
        "pool_bytes": None,
        "loss_before": loss_before,
        "loss_after": loss_after,
        "loss_scale": None,
        "skipped_steps": 0,
        "flops_per_step": 100,
        "low_precision_flops_share": 0.75,
        "ceiling_flops": None,
        "profile": None,
        "gpu": None,
        "dropped_blocks": 0,
    }
    return Speed(**shared() | fields | changes)


def gpu(*limits, mhz=(1980,)):
    return GpuState(at_seconds=(0.0,), sm_mhz=mhz, watts=(500.0,), celsius=(50,), joules=(), limits=limits, other_processes=0)


def parity(ours=(1.0, 1.1, 0.9), theirs=(4.0, 4.4, 3.6), at_least=1.5, **changes):
    """A block is two steps of ours and four of theirs."""
    fields = {
        "device": "cuda",
        "trainer": "Fabric",
        "trainer_version": "2.6.1",
        "ours": Blocks(steps=2, seconds=ours),
        "theirs": Blocks(steps=4, seconds=theirs),
        "requirements": Requirements(at_least=at_least),
    }
    return Parity(**shared() | fields | changes)


def entrant(seconds, trainer="plain", **case_changes):
    """A block is one step."""
    of = case("bf16-amp").model_copy(update={"trainer": trainer} | case_changes)
    title, version = ("mpcore", "") if trainer == "mpcore" else ("plain PyTorch", "2.11.0")
    return Entrant(case=of, trainer=title, trainer_version=version, blocks=Blocks(steps=1, seconds=seconds))


def race(ours=(1.0, 1.1, 0.9), theirs=(2.0, 2.2, 1.8), *, apart=False, at_least=1.5, same_mode_at_least=None, **changes):
    """The fastest of ours, by compile, against the fastest other, by reduce-overhead."""
    own = entrant(ours, "mpcore", precision="bf16-manual", execution="compile")
    turns = Turns(ours=own, theirs=entrant(theirs, execution="reduce-overhead"), apart=apart)
    required = Requirements(at_least=at_least, same_mode_at_least=same_mode_at_least)
    fields = {"device": "cuda", "ours": (own,), "theirs": (turns.theirs,), "fastest": turns, "requirements": required}
    return Race(**shared("bf16-amp") | fields | changes)


def drift(**shares):
    return Drift(**shared("fp32"), shares=shares)


def training(seed, accuracy, diverged=None):
    return Training(
        seed=seed,
        steps=1,
        train_seconds=1.0,
        evaluation_seconds=1.0,
        metrics={"accuracy": accuracy},
        confusion=None,
        steps_per_point=1,
        losses=(0.5,),
        loss_scales=(),
        skipped_steps=0,
        diverged=diverged,
    )


def quality(precision, *accuracies, fp32=None, diverged=(), **changes):
    """fp32: what the reference reached, None where there is none."""
    fields = {
        "weights": "random",
        "data": "embedded",
        "rows": {"train": 8, "test": 8},
        "metric": "accuracy",
        "reference": None if fp32 is None else quality("fp32", *fp32).scores,
        "trainings": tuple(training(seed, a, dict(diverged).get(seed)) for seed, a in enumerate(accuracies)),
    }
    return Quality(**shared(precision) | fields | changes)


def numerics(**changes):
    errors = {"loss_error": 0.005, "gradient_error": 0.05, "update_error": 0.1, "flushed_share": 0.005}
    others = {"seconds": 1.0, "updates": 20, "skipped_steps": 0, "low_precision_flops_share": 0.75}
    return Numerics(**shared() | errors | others | changes)


def operations():
    """Of three layers and a classifier in 16 bits: what an operation is, and how often it runs."""
    modules = [*(f"layer.{number}.dense" for number in range(3)), "classifier"]
    counts = {Operation("_fused_adamw_", "float32", "8x8 8", "", "update"): 1}
    for module in modules:
        counts |= {
            Operation("_to_copy", "bfloat16", "8x8", module, "forward"): 1,
            Operation("addmm", "bfloat16", "8 4x8 8x8", module, "forward"): 1,
            Operation("t", "bfloat16", "8x8", module, "forward"): 1,
            Operation("mm", "bfloat16", "8x4 4x8", module, "backward"): 2,
            Operation("t", "bfloat16", "8x8", module, "backward"): 2,
        }
    return counts


def work(counts=None, **changes):
    """On a CPU, unless it has kernels."""
    fields = {
        "device": "cuda" if "kernels" in changes else "cpu",
        "software": {"torch": "2.11.0"},
        "operations": compressed(operations() if counts is None else counts),
        "flops_by_dtype": {"bfloat16": 1000, "float32": 200},
        "casts": 4,
        "cast_bytes": 1536,
        "saved_bytes": 4096,
        "synchronisations": (),
        "parameter_bytes": 1000,
        "gradient_bytes": 1000,
        "optimiser_bytes": 2000,
    }
    return Work(**shared("bf16-amp") | fields | changes)


def step(milliseconds, precision="fp16-amp", workload="bert-imdb", **changes):
    """A graph's blocks on a GPU whose clock stands still."""
    blocks = Blocks(steps=1, seconds=(milliseconds / 1e3,) * 3)
    made = speed(**{"blocks": blocks, "references": {}, "device": "cuda", "gpu": gpu()} | changes)
    names = {"precision": precision, "workload": workload, "execution": "graph"}
    return made.model_copy(update={"case": made.case.model_copy(update=names)})


def run(*records, **changes):
    hardware = Hardware(
        device="cuda",
        name="NVIDIA H200",
        count=1,
        memory_bytes=1,
        power_limit_watts=1,
        mig=None,
        uuid="u",
        capability="9.0",
        cpu="c",
        cores=1,
    )
    fields = {
        "command": "",
        "datetime": "2026-01-02T03:04:05+00:00",
        "commit": None,
        "machine": Machine(hardware=hardware, software={}),
        "results": tuple(Result(record=record) for record in records),
    }
    return Run(**fields | changes)
