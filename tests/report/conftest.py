import pytest

from mpcore.records import Blocks, Case, Divergence, Hardware, Machine, Numerics, Quality, Result, Run, Speed, Training, Verdict

UNITS = {"bert-imdb": ("reviews", 32), "resnet18-mnist": ("images", 64)}


def shared(workload, precision):
    unit, batch_size = UNITS[workload]
    case = Case(workload=workload, precision=precision, size="tiny")
    return {"case": case, "workload_version": 1, "device": "cpu", "batch_size": batch_size, "unit": unit}


def speed(workload, precision, seconds, peak=2**30, **references):
    return Speed(
        **shared(workload, precision),
        blocks=Blocks(steps=2, seconds=(seconds, seconds)),
        references={name: Blocks(steps=2, seconds=(s, s)) for name, s in references.items()},
        peak_allocated_bytes=peak,
        peak_reserved_bytes=peak,
        loss_before=0.7,
        loss_after=0.5,
        loss_scale=None,
        skipped_steps=0,
        flops_per_step=100,
        half_flops_share=0.5,
    )


def quality(workload, precision, *accuracies, confusion=((40, 10), (5, 45)), diverged=None):
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
    return Quality(**shared(workload, precision) | others, trainings=trainings)


def numerics(workload, precision, gradient_error):
    return Numerics(
        **shared(workload, precision),
        seconds=1.0,
        loss_error=0.002,
        gradient_error=gradient_error,
        flushed_share=0.0,
        updates=20,
        update_error=0.03,
        skipped_steps=0,
        half_flops_share=0.75,
    )


def verdict(record, metric, status="same", sentence="all is well", known=False):
    return Verdict(
        kind=record.kind,
        case=record.case.id,
        metric=metric,
        status=status,
        value=1.0,
        limit=1.0,
        sentence=sentence,
        known=known,
    )


def judged(record, metric, status="same", sentence="all is well"):
    return Result(record=record, verdicts=(verdict(record, metric, status, sentence),))


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
        judged(quality(bert, "fp32", 0.80, 0.82), "accuracy"),
        judged(quality(bert, "fp16-amp", 0.79, 0.82), "accuracy"),
        judged(quality(resnet, "fp16-pure", 0.1, confusion=((1, 2, 3), (4, 5, 6), (7, 8, 9)), diverged=diverged), "accuracy"),
        judged(numerics(bert, "fp32", 1e-6), "gradient error"),
        judged(numerics(bert, "fp16-amp", 0.5), "gradient error", "worse", worse),
    ]


@pytest.fixture
def worsened():
    """worsened(results, kind, metric, known=...): with the verdict of `kind` on fp16-amp of bert-imdb worse."""

    def worsened(results, kind, metric, *, known):
        case = ("bert-imdb", "fp16-amp", kind)
        sentence = f"{metric} is {'known to be lost' if known else 'lost'}"
        return [
            r.model_copy(update={"verdicts": (verdict(r.record, metric, "worse", sentence, known),)})
            if (r.record.case.workload, r.record.case.precision, r.record.kind) == case
            else r
            for r in results
        ]

    return worsened


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
