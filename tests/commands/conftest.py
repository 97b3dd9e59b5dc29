import json

import pytest

from mpcore.records import Case, FailedTest, Hardware, Machine, Numerics, Requirements, Result, Run

HARDWARE = Hardware(
    device="cpu", name="Some CPU", count=1, memory_bytes=None, power_limit_watts=None, mig=None, uuid=None,
    capability=None, cpu="Some CPU", cores=2,
)  # fmt: skip
CASE = Case(workload="bert-imdb", precision="fp16-amp", size="tiny")


@pytest.fixture
def save(tmp_path):
    """Writes a run with one record, whose gradient has this error, and returns its path."""

    def save(name="0001_run.json", gradient_error=0.01, datetime="2026-01-02T03:04:05.678901+00:00", failed=()):
        record = Numerics(
            case=CASE,
            workload_version=1,
            device="cpu",
            batch_size=32,
            unit="reviews",
            requirements=Requirements(gradient_error=0.5),
            seconds=1.0,
            loss_error=1e-4,
            gradient_error=gradient_error,
            flushed_share=0.0,
            updates=20,
            update_error=0.01,
            skipped_steps=0,
            low_precision_flops_share=0.9,
        )
        run = Run(
            command="pytest benchmarks",
            datetime=datetime,
            commit="0123456789abcdef",
            machine=Machine(hardware=HARDWARE, software={"torch": "2.11.0"}),
            results=(Result(record=record),),
            failed=tuple(
                FailedTest(test=f"test_speed[{case}]", name=f"speed:{case}", sentence="it is slower") for case in failed
            ),
        )
        path = tmp_path / name
        path.write_text(json.dumps({"benchmarks": [], "mpcore": run.model_dump(mode="json")}))
        return path

    return save


@pytest.fixture
def run_file(save):
    return save()


@pytest.fixture
def baselines(tmp_path):
    return tmp_path / "baselines"
