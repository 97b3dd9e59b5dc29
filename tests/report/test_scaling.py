"""Steps on several GPUs beside the same on one."""

import pytest
from PIL import Image

from mpcore.records import Blocks, Case, Collective, Rank, RankTime, Result, Speed
from mpcore.report.documents import run_document
from mpcore.report.page.scaling import scaling as panel
from mpcore.report.pictures import pictures
from mpcore.report.render import render
from mpcore.report.scaling import launch_spread, pair_deviation, scaled
from mpcore.report.sections.scaling import scaling

SENT = Collective(operation="allreduce_", dtype="float32", calls=1, elements=10**6, bytes=4 * 10**6)


NOTHING = dict.fromkeys(("eager", "peak_reserved_bytes", "pool_bytes", "loss_scale", "ceiling_flops", "profile", "gpu"))


def blocks(seconds):
    return Blocks(steps=1, seconds=(seconds, seconds))


def result(gpus, seconds, strategy="ddp", batch=None, **changes):
    """seconds: of a step. Its ranks compute for half of it, and wait for an eighth."""
    spread = {"strategy": strategy if gpus > 1 else "single", "gpus": gpus, "batch_size": batch}
    times = [RankTime(compute=seconds / (2 - 0.1 * n), communication=seconds / 4, exposed=seconds / 8) for n in range(gpus)]
    ranks = [Rank(rank=n, blocks=blocks(seconds), weights_hash="a", time=time) for n, time in enumerate(times)]
    sent = {"ranks": ranks, "collectives": (SENT,), "network": {"backend": "nccl", "NCCL_NVLS_ENABLE": "0"}}
    fields = {
        "case": Case(workload="bert-imdb", precision="fp32", size="tiny", **spread),
        "workload_version": 1,
        "device": "cuda",
        "batch_size": batch or 32,
        "unit": "reviews",
        "blocks": blocks(seconds),
        "references": {},
        "peak_allocated_bytes": 2**30,
        "loss_before": 1.0,
        "loss_after": 0.5,
        "skipped_steps": 0,
        "flops_per_step": 1,
        "low_precision_flops_share": 0.0,
        "dropped_blocks": 0,
    }
    return Result(record=Speed(**NOTHING | fields | (sent if gpus > 1 else {}) | changes))


@pytest.fixture
def results():
    return [result(1, 1.0), result(2, 1.25), result(2, 0.75, batch=16), result(2, 2.0, "fsdp")]


def test_weak_and_strong_scaling_are_shares_of_so_many_times_one(results):
    one, weak, strong, fsdp = scaled(results)
    assert (one.weak_efficiency, one.strong_efficiency) == (1.0, None)
    assert (weak.weak_efficiency, weak.strong_efficiency) == (pytest.approx(0.8), None)
    assert (strong.weak_efficiency, strong.strong_efficiency) == (None, pytest.approx(1 / (2 * 0.75)))
    assert fsdp.weak_efficiency == pytest.approx(0.5)
    assert scaled(results[:1]) == []


def test_the_table_says_what_the_time_is_spent_on(results):
    found = scaling(results)
    assert [section.title for section in found] == ["Several GPUs: bert-imdb", ""]
    rows = [dict(zip(found[0].tables[0].headings, row, strict=True)) for row in found[0].tables[0].rows]
    assert [(row["as"], row["GPUs"], row["batch of each"]) for row in rows] == [
        ("single eager", "1", "32"),
        ("ddp eager", "2", "32"),
        ("ddp eager", "2", "16"),
        ("fsdp eager", "2", "32"),
    ]
    ddp = rows[1]
    assert (ddp["weak %"], ddp["strong %"], ddp["compute ms"], ddp["exposed ms"]) == ("80.0", "-", "657.89", "156.25")
    assert ddp["rest ms"] == f"{1250 - 1250 / 1.9 - 156.25:.2f}"
    assert (ddp["bus GB/s"], ddp["slowest"], ddp["GiB"]) == ("0", "1 x 1.053", "1.00")
    assert found[1].sentences == ["Ranks talked by: backend nccl, NCCL_NVLS_ENABLE 0."]
    assert len(found[0].sections[0].tables[0].rows) == 6
    assert scaling(results[:1]) == []


def test_fresh_launches_say_how_far_they_lie_apart():
    record = result(2, 1.0, launches=(blocks(1.01), blocks(1.0))).record
    assert launch_spread(record) == pytest.approx(0.01)
    assert pair_deviation(record) == pytest.approx(0.0141, abs=1e-4)
    (section, _) = scaling([Result(record=record)])
    assert section.sentences[0].startswith(
        "bert-imdb-fp32-eager-tiny-ddp2: 3 fresh launches lie within 1.00 %; two that follow"
    )
    assert launch_spread(result(2, 1.0).record) is None


def test_the_page_draws_throughput_and_the_ideal(results):
    (view,) = panel({"h100": results}).views
    assert view.label == "bert-imdb on h100"
    lines = {trace["name"] for trace in view.traces}
    assert lines == {"fp32 ddp eager", "fp32 ddp eager, 32 in all", "fp32 fsdp eager", "ideal fp32 eager"}
    ideal = [y for y, step in zip(view.columns["a second"], view.columns["step"], strict=True) if step.startswith("ideal")]
    assert ideal == [32.0, 64.0]
    points = [(gpus, step) for gpus, step in zip(view.columns["GPUs"], view.columns["step"], strict=True)]
    assert [gpus for gpus, step in points if step == "fp32 ddp eager"] == [1, 2]
    assert [gpus for gpus, step in points if step == "fp32 ddp eager, 32 in all"] == [1, 2]
    others = [
        Result(record=r.record.model_copy(update={"case": r.record.case.model_copy(update={"trainer": "plain"})}))
        for r in results
    ]
    (both,) = panel({"h100": [*results, *others]}).views
    assert {"ideal fp32 eager", "ideal fp32 eager by plain"} <= {trace["name"] for trace in both.traces}
    assert panel({"h100": results[:1]}).views == []


def test_a_saved_run_shows_it(run):
    assert "Several GPUs: bert-imdb" in render(run_document(run), "markdown")


def test_the_picture_of_a_run_has_its_figures_with_it(run, results, tmp_path):
    pytest.importorskip("matplotlib")
    (path,) = pictures(run.model_copy(update={"results": tuple(results)}), tmp_path)
    assert path.name == "several-gpus-on-some-gpu.png"
    with Image.open(path) as picture:
        rows = picture.text["Description"].splitlines()
    assert rows[0] == "GPUs,a second,step,batch of each,plot"
    assert "2,51.2,fp32 ddp eager,32,bert-imdb on some-gpu" in rows
    assert "2,64.0,ideal fp32 eager,32,bert-imdb on some-gpu" in rows


def test_a_step_of_another_trainer_is_named_after_it(results):
    case = results[1].record.case.model_copy(update={"trainer": "fabric"})
    other = result(2, 1.5, case=case)
    (table, *_) = scaling([*results, other])[0].tables
    assert "ddp eager by fabric" in [row[1] for row in table.rows]
