import pytest

from mpcore.records import (
    Blocks,
    Case,
    Check,
    Divergence,
    Drift,
    Family,
    GpuState,
    Hardware,
    Kernel,
    Machine,
    Numerics,
    Parity,
    Profile,
    Quality,
    Reference,
    Regression,
    Result,
    Run,
    Scores,
    Selection,
    SkippedTest,
    Speed,
    Training,
    Work,
)
from mpcore.report.summary import SessionSummary

UNITS = {"bert-imdb": ("reviews", 32), "resnet18-mnist": ("images", 64)}
STEP_MS = {  # of BERT-base as a graph on an H200, as far as a report cares
    "fp32": 87.412,
    "tf32": 30.118,
    "fp16-amp": 19.214,
    "bf16-amp": 19.307,
    "fp16-manual": 17.896,
    "bf16-manual": 17.925,
    "fp16-forward": 24.551,
    "fp16-true": 15.402,
    "bf16-true": 15.377,
}


def shared(workload, precision, **changes):
    unit, batch_size = UNITS[workload]
    case = Case(workload=workload, precision=precision, size="tiny")
    return {"case": case, "workload_version": 1, "device": "cpu", "batch_size": batch_size, "unit": unit} | changes


def blocks(seconds, steps=2):
    return Blocks(steps=steps, seconds=(seconds, seconds))


def speed(workload, precision, seconds, peak=2**30, **references):
    """As on a CPU, but for its memory: eager, in turns with its references."""
    return Speed(
        **shared(workload, precision),
        blocks=blocks(seconds),
        eager=None,
        references={name: Reference(blocks=blocks(s), rounds=blocks(seconds)) for name, s in references.items()},
        peak_allocated_bytes=peak,
        peak_reserved_bytes=peak,
        pool_bytes=None,
        loss_before=0.7,
        loss_after=0.5,
        loss_scale=None,
        skipped_steps=0,
        flops_per_step=100,
        low_precision_flops_share=0.5,
        ceiling_flops=None,
        profile=None,
        gpu=None,
        dropped_blocks=0,
    )


def on_gpu(precision):
    """A step of bert-imdb as a graph, with all that a GPU and NVML tell: most of it arithmetic, an eager step all launches."""
    seconds = STEP_MS[precision] / 1e3
    work = [("matrix product", 0.6), ("elementwise", 0.25), ("attention", 0.1), ("layer normalisation", 0.05)]
    families = tuple(Family(name=name, bits=16, count=12, seconds=share * seconds) for name, share in work)
    kernels = tuple(Kernel(name=f.name, count=f.count, seconds=f.seconds) for f in families)
    references = {name: Reference(blocks=blocks(STEP_MS[name] / 1e3, 1), rounds=None) for name in ("fp32", "tf32")}
    references.pop(precision, None)
    case = Case(workload="bert-imdb", precision=precision, execution="graph", size="full")
    return speed("bert-imdb", precision, 1.0).model_copy(
        update={
            "case": case,
            "device": "cuda",
            "blocks": blocks(seconds, 1),
            "eager": blocks(seconds + 0.0105, 1),
            "references": references,
            "peak_allocated_bytes": 10 * 2**30,
            "peak_reserved_bytes": 12 * 2**30,
            "pool_bytes": 8 * 2**30,
            "flops_per_step": 6 * 10**12,
            "low_precision_flops_share": 0.98,
            "ceiling_flops": 700e12,
            "profile": Profile(kernels=kernels, families=families),
            "gpu": gpu(),
        }
    )


def gpu():
    at, watts = (0.0, 0.1, 0.2, 0.3), 500.0
    return GpuState(
        at_seconds=at,
        sm_mhz=(1980,) * 4,
        watts=(watts,) * 4,
        celsius=(50,) * 4,
        joules=tuple(watts * t for t in at),
        limits=(),
        other_processes=0,
    )


def quality(workload, precision, *accuracies, fp32=None, confusion=((40, 10), (5, 45)), diverged=None, **changes):
    """fp32: the accuracies that FP32 reached, from the same seeds."""
    trainings = tuple(
        Training(
            seed=seed,
            steps=200,
            train_seconds=10.0 + seed,
            evaluation_seconds=1.0 + seed,
            metrics={"accuracy": accuracy, "precision": 0.5, "recall": 0.25, "f1": 0.125},
            confusion=confusion,
            steps_per_point=1,
            losses=(0.5,),
            loss_scales=(),
            skipped_steps=0,
            diverged=diverged,
        )
        for seed, accuracy in enumerate(accuracies)
    )
    others = {"weights": "random", "data": "embedded", "rows": {"train": 1600, "test": 100}, "metric": "accuracy"}
    reference = Scores(precision="fp32", by_seed=dict(enumerate(fp32))) if fp32 else None
    return Quality(**shared(workload, precision, **changes) | others, trainings=trainings, reference=reference)


def numerics(workload, precision, gradient_error, **changes):
    return Numerics(
        **shared(workload, precision, **changes),
        seconds=1.0,
        loss_error=0.002,
        gradient_error=gradient_error,
        flushed_share=0.0,
        updates=20,
        update_error=0.03,
        skipped_steps=0,
        low_precision_flops_share=0.75,
    )


def work(workload, precision, casts=98, kernels=None, **changes):
    """Of a step that keeps a quarter of a GiB."""
    return Work(
        **shared(workload, precision, **changes),
        software={"torch": "2.11.0"},
        operations={"_to_copy | bfloat16 | 8x8 | layer.[0-11] | forward": 1},
        flops_by_dtype={"bfloat16": 100},
        casts=casts,
        cast_bytes=10,
        saved_bytes=2**28,
        synchronisations=(),
        parameter_bytes=1,
        gradient_bytes=1,
        optimiser_bytes=2,
        kernels=kernels,
    )


def parity(workload, trainer, version, ours, theirs, **changes):
    """Of fp16-amp; one block is ten steps of ours, and twenty of theirs."""
    others = {"ours": Blocks(steps=10, seconds=ours), "theirs": Blocks(steps=20, seconds=theirs)}
    return Parity(**shared(workload, "fp16-amp") | others | changes, trainer=trainer, trainer_version=version)


def check(record, metric, status="passed", sentence="all is well"):
    of = {"kind": record.kind, "case": record.case.id}
    return Check(**of, metric=metric, status=status, value=1.0, limit=1.0, sentence=sentence)


def regression(record, metric, status):
    sentence = f"{metric} of {record.case.precision} is {status}"
    of = {"kind": record.kind, "case": record.case.id}
    return Regression(**of, metric=metric, status=status, value=1.0, limit=1.0, sentence=sentence)


def judged(record, metric, status="passed", sentence="all is well"):
    return Result(record=record, checks=(check(record, metric, status, sentence),))


@pytest.fixture
def results():
    """Two workloads. All kinds were measured of bert-imdb in fp32 and fp16-amp; of resnet18-mnist only some."""
    bert, resnet = "bert-imdb", "resnet18-mnist"
    worse = f"{bert}: gradient error of fp16-amp against fp64 is 0.5, at most 0.1 may be"
    diverged = Divergence(step=9, reason="the loss is nan")
    return [
        judged(speed(bert, "fp32", 0.5), "learning"),
        judged(speed(bert, "fp16-amp", 0.25, fp32=0.5, tf32=0.375), "learning"),
        judged(speed(resnet, "fp32", 0.128, peak=None), "learning"),
        judged(quality(bert, "fp32", 0.80, 0.82, fp32=(0.80, 0.82)), "accuracy"),
        judged(quality(bert, "fp16-amp", 0.79, 0.82, fp32=(0.80, 0.82)), "accuracy"),
        judged(quality(resnet, "fp16-pure", 0.1, confusion=((1, 2, 3), (4, 5, 6), (7, 8, 9)), diverged=diverged), "accuracy"),
        judged(numerics(bert, "fp32", 1e-6), "gradient error"),
        judged(numerics(bert, "fp16-amp", 0.5), "gradient error", "failed", worse),
    ]


@pytest.fixture
def full():
    """All nine modes of bert-imdb as graphs on a GPU, and all that is measured of each."""
    found = []
    for precision in STEP_MS:
        case = Case(workload="bert-imdb", precision=precision, execution="graph", size="full")
        of = {"case": case, "device": "cuda"}
        records = {
            "learning": on_gpu(precision),
            "accuracy": quality("bert-imdb", precision, 0.9012, 0.8907, 0.9103, fp32=(0.9, 0.9, 0.9), **of),
            "gradient error": numerics("bert-imdb", precision, 2e-3, **of),
        }
        found += [judged(record, metric) for metric, record in records.items()]
    return found


@pytest.fixture
def counted():
    """counted(results, casts=98): with what a step of each case that was timed does."""

    def counted(results, casts=98):
        timed = [result.record for result in results if isinstance(result.record, Speed)]
        kernels = {"gemm": 1200, "relu": 34}
        found = [
            work(
                s.case.workload, s.case.precision, casts, kernels if s.device == "cuda" else None, case=s.case, device=s.device
            )
            for s in timed
        ]
        return [*results, *(Result(record=record) for record in found)]

    return counted


@pytest.fixture
def trainers():
    """One comparison of steps that fails, one of trainings that passes."""
    slower = parity("resnet18-mnist", "plain PyTorch", "2.11.0", ours=(0.25, 0.25), theirs=(0.25, 0.375))
    scores = {"ours": 0.9125, "theirs": 0.91}
    trained = parity("bert-imdb", "Trainer", "5.1.0", ours=(0.5, 0.5), theirs=(2.0, 2.0), scores=scores)
    return [
        judged(slower, "speed-up over plain PyTorch", "failed", "resnet18-mnist: fp16-amp as eager is slower"),
        judged(trained, "speed-up over Trainer"),
    ]


@pytest.fixture
def worsened():
    """worsened(results, kind, metric, known=...): with the check of `kind` on fp16-amp of bert-imdb failed."""

    def worsened(results, kind, metric, *, known):
        case = ("bert-imdb", "fp16-amp", kind)
        status, sentence = ("expected_failure", "known to be lost") if known else ("failed", "lost")
        return [
            r.model_copy(update={"checks": (check(r.record, metric, status, f"{metric} is {sentence}"),)})
            if (r.record.case.workload, r.record.case.precision, r.record.kind) == case
            else r
            for r in results
        ]

    return worsened


@pytest.fixture
def lost():
    """lost(results): whose trainings and numerics came to no number."""
    diverged = Divergence(step=9, reason="the loss is nan")

    def lost(results):
        changed = []
        for result in results:
            record = result.record
            if isinstance(record, Quality):
                fields = {"metrics": {"accuracy": None}, "diverged": diverged}
                trainings = tuple(training.model_copy(update=fields) for training in record.trainings)
                record = record.model_copy(update={"trainings": trainings})
            elif isinstance(record, Numerics):
                record = record.model_copy(update={"gradient_error": None, "update_error": None})
            changed.append(result.model_copy(update={"record": record}))
        return changed

    return lost


@pytest.fixture
def gone(results):
    """A record of resnet18-mnist that the last accepted run has, and why it is gone."""
    return results[2].record, "there is no such test"


@pytest.fixture
def run(results):
    hardware = Hardware(
        device="cuda",
        name="Some GPU",
        count=2,
        memory_bytes=80 * 2**30,
        power_limit_watts=700.0,
        mig="off",
        uuid="GPU-0",
        capability="9.0",
        cpu="Some CPU",
        cores=16,
    )
    machine = Machine(hardware=hardware, software={"python": "3.12.1", "torch": "2.11.0"})
    return Run(
        path="0001_run.json",
        command="pytest benchmarks",
        datetime="2026-01-02T03:04:05.678901+00:00",
        commit="0123456789abcdef",
        machine=machine,
        results=tuple(results),
    )


@pytest.fixture
def summary(run):
    """summary(results, failed=..., common=...): of a session in which all was reached."""

    def summary(results=(), failed=(), common=None, **changes):
        skipped = tuple(SkippedTest(test=reason, reason=reason) for reason in changes.pop("skipped", ()))
        told = {"selection": Selection(), "ran": len(results)} | changes
        made = {"results": tuple(results), "failed": tuple(failed), "skipped": skipped, "common": common}
        return SessionSummary(run=run.model_copy(update=made), **told)

    return summary


@pytest.fixture
def compared():
    """compared(results, status): each with a regression of that status."""

    def compared(results, status, metric="step time"):
        return [r.model_copy(update={"regressions": (*r.regressions, regression(r.record, metric, status))}) for r in results]

    return compared


@pytest.fixture
def regressed():
    """regressed(result, status, ratio): with one regression alone."""

    def regressed(result, status, ratio):
        one = regression(result.record, "step time", status).model_copy(update={"ratio": ratio})
        return result.model_copy(update={"regressions": (one,)})

    return regressed


@pytest.fixture
def drifted(full):
    """drifted(shares): a result of how far the references of a workload drifted."""

    def drifted(shares):
        case = next(r.record.case for r in full)
        of = {"case": case, "workload_version": 1, "device": "cuda", "batch_size": 32, "unit": "reviews"}
        return Result(record=Drift(**of, shares=shares))

    return drifted


@pytest.fixture
def many():
    """many(n): that many modes of one workload, timed."""

    def many(count):
        records = (speed("bert-imdb", f"mode-{i}", 0.5) for i in range(count))
        return [judged(record, "learning") for record in records]

    return many
