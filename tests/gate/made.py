"""Records as a measurement would make them."""

from mpcore.records import Blocks, Case, GpuState, Numerics, Parity, Quality, Reference, Speed, Training


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
        "half_flops_share": 0.75,
        "ceiling_flops": None,
        "profile": None,
        "gpu": None,
        "dropped_blocks": 0,
    }
    return Speed(**shared() | fields | changes)


def gpu(*limits):
    return GpuState(
        at_seconds=(0.0,), sm_mhz=(1980,), watts=(500.0,), celsius=(50,), joules=(), limits=limits, other_processes=0
    )


def parity(ours=(1.0, 1.1, 0.9), theirs=(4.0, 4.4, 3.6), device="cuda"):
    """A block is two steps of ours and four of theirs."""
    fields = {"device": device, "rival": "Fabric", "rival_version": "2.6.1"}
    return Parity(**shared() | fields, ours=Blocks(steps=2, seconds=ours), theirs=Blocks(steps=4, seconds=theirs))


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


def quality(precision, *accuracies, diverged=()):
    trainings = tuple(training(seed, a, dict(diverged).get(seed)) for seed, a in enumerate(accuracies))
    kinds = {"weights": "random", "data": "embedded", "rows": {"train": 8, "test": 8}, "metric": "accuracy"}
    return Quality(**shared(precision) | kinds, trainings=trainings)


def numerics(**changes):
    errors = {"loss_error": 0.005, "gradient_error": 0.05, "update_error": 0.1, "flushed_share": 0.005}
    others = {"seconds": 1.0, "updates": 20, "skipped_steps": 0, "half_flops_share": 0.75}
    return Numerics(**shared() | errors | others | changes)
