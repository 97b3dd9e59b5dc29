import functools
import itertools
from collections import Counter

import original_runs
import pytest

from mpcore.records import Drift, Kernel, Quality, Speed
from mpcore.store import RunError, convert_file, converted, load, to_run

CASE = {"workload": "bert-imdb", "precision": "fp16-amp", "execution": "graph", "size": "full", "seed": 0, "batch_size": None}
SHARED = {"workload_version": 1, "device": "cuda", "batch_size": 32, "unit": "reviews"}
RENAMED = {"half_flops_share": "low_precision_flops_share", "uninformed": "dummy_score"}


def update_noise(workload):
    return 0.05 if workload == "resnet18-mnist" else 0.01


@functools.cache
def original(path):
    return original_runs.read(path)


@functools.cache
def run_of(path):
    return to_run(path, converted(original(path), update_noise))


def results_of(content):
    return [benchmark["extra_info"]["mpcore"] for benchmark in content["benchmarks"] if benchmark["extra_info"]]


def measured(path):
    """The results that were there before."""
    return [result for result in run_of(path).results if not isinstance(result.record, Drift)]


def test_there_are_runs_to_convert():
    assert len(original_runs.FILES) == 8


@pytest.fixture(params=original_runs.FILES, ids=lambda path: f"{path.parent.name}-{path.name.split('.')[0]}")
def path(request):
    return request.param


def test_an_accepted_run_is_loaded_after_conversion(path):
    old, run = original(path), run_of(path)
    assert (run.datetime, run.commit, run.layout) == (old["datetime"], old["commit_info"]["id"], "4.0")
    machine = old["machine_info"]["mpcore"]
    since = dict.fromkeys(("label", "locked_mhz"))  # which nobody asked a machine for then
    assert run.machine.model_dump(mode="json") == machine | {"hardware": machine["hardware"] | since}
    assert [r.record.case.id for r in measured(path)] == [b["fullname"][:-1].split("[")[1] for b in old["benchmarks"]]
    assert {"overruled": run.accepted.allowed_failures, "anew": run.accepted.reset} == {
        key: tuple(old["mpcore"]["accepted"].get(key, ())) for key in ("overruled", "anew")
    }
    assert [failure.test for failure in run.failed] == [failure["test"] for failure in old["mpcore"]["failed"]]


def test_a_verdict_is_a_check_or_a_regression(path):
    for old, new in zip(results_of(original(path)), measured(path), strict=True):
        assert len(new.checks) == sum(not verdict["compared"] for verdict in old["verdicts"])
        assert len(new.regressions) == sum(verdict["compared"] for verdict in old["verdicts"])
        assert {j.sentence for j in new.judgements} == {verdict["sentence"] for verdict in old["verdicts"]}
        assert {j.kind for j in new.judgements} == {new.record.kind}
        failed = any(v["status"] == "worse" or (v["status"] == "undecided" and not v["compared"]) for v in old["verdicts"])
        assert new.passed is not failed


def test_the_figures_of_a_record_are_unchanged(path):
    for old, new in zip(results_of(original(path)), measured(path), strict=True):
        before, after = old["record"], new.record.model_dump(mode="json")
        assert after["case"] == before["case"] | {"trainer": "mpcore", "strategy": "single", "gpus": 1, "keep_fp32": []}
        if after.get("gpu"):
            assert after["gpu"].pop("untold") == {}
        same = before.keys() - {"kind", "case", "drift", "profile"}
        assert {key: after[RENAMED.get(key, key)] for key in same} == {key: before[key] for key in same}


def test_a_profile_has_its_ten_longest_kernels(path):
    for old, new in zip(results_of(original(path)), measured(path), strict=True):
        if isinstance(new.record, Speed):
            before, after = old["record"]["profile"], new.record.profile
            assert list(after.kernels) == [Kernel(**kernel) for kernel in before["kernels"][:10]]
            shorter = [*before["kernels"][10:], before["rest"]]
            assert after.rest.count == pytest.approx(sum(kernel["count"] for kernel in shorter))
            assert after.rest.seconds == pytest.approx(sum(kernel["seconds"] for kernel in shorter))
            assert after.counts is None


def test_every_result_has_what_it_must_reach(path):
    for result in measured(path):
        required, case = result.record.requirements, result.record.case
        assert (required.negative_control, required.loses_updates, required.at_least) == (False, False, None)
        low = {"fp32": 0.0, "tf32": 0.0, "bf16-true": 0.95}.get(case.precision, 0.9)
        assert required.low_precision_share == (low, 1.0 if low else 0.0)
        assert required.low_precision is (low > 0)
        assert required.update_noise == update_noise(case.workload)
        mixed = case.precision in ("fp16-amp", "bf16-amp", "fp16-manual", "bf16-manual")
        beaten = ("fp32",) if case.workload == "ncf-movielens" else ("fp32", "tf32")
        assert required.must_beat == (beaten if mixed else ())
        assert required.flushed_share == (0.01 if case.precision in ("fp16-amp", "fp16-manual") else None)
        assert (required.update_error is None) is (case.precision == "bf16-true")
        assert 0 < required.loss_error <= required.gradient_error <= 0.5


def test_limits_are_those_that_errors_were_held_to(path):
    for result in measured(path):
        limits = {check.metric.replace(" ", "_"): check.limit for check in result.checks if result.record.kind == "numerics"}
        limits.pop("16-bit_share", None)
        assert limits == {metric: getattr(result.record.requirements, metric) for metric in limits}


def test_an_accuracy_has_its_reference_and_its_tolerance(path):
    trained = [result for result in measured(path) if isinstance(result.record, Quality)]
    assert len(trained) == 14
    for result in trained:
        accuracy, (check, learning) = result.record, result.checks
        assert accuracy.reference.precision == "fp32"
        assert round(accuracy.points, 9) == check.value
        assert accuracy.requirements.tolerance_points == -check.limit == learning.limit


def test_a_workload_has_one_record_of_drift(path):
    """After its last speed."""
    results = run_of(path).results
    drifts = [result.record for result in results if isinstance(result.record, Drift)]
    speeds = [result["record"] for result in results_of(original(path)) if result["record"]["kind"] == "speed"]
    assert Counter(drift.case.workload for drift in drifts) == Counter({record["case"]["workload"] for record in speeds})
    for drift in drifts:
        of_workload = [record for record in speeds if record["case"]["workload"] == drift.case.workload]
        assert all(record["drift"] == drift.shares for record in of_workload)
        assert drift.name == f"drift:{drift.case.workload}-fp32-graph-full"
    for before, result in itertools.pairwise(results):
        if isinstance(result.record, Drift):
            assert isinstance(before.record, Speed)
            assert before.record.case.in_precision("fp32") == result.record.case


def test_what_is_pytest_benchmarks_own_stays(path):
    old, new = original(path), converted(original(path), update_noise)
    assert new["machine_info"] == old["machine_info"] | {"mpcore": path.parent.name}
    for before, after, result in zip(old["benchmarks"], new["benchmarks"], measured(path), strict=True):
        assert after == before | {"extra_info": {"mpcore": result.record.name}}
    others = old.keys() - {"machine_info", "benchmarks", "mpcore"}
    assert {key: new[key] for key in others} == {key: old[key] for key in others}


def test_a_file_is_converted_in_place(tmp_path, path):
    copy = tmp_path / "run.json"
    copy.write_bytes(original_runs.unpacked(path))
    before = copy.stat().st_size
    run = convert_file(copy, copy, update_noise)
    assert load(copy) == run
    assert copy.stat().st_size < before
    with pytest.raises(RunError, match=r"run.json is of layout '4.0' already"):
        convert_file(copy, copy, update_noise)


@pytest.mark.parametrize(("layout", "known"), [("5.0", False), (None, False), ("4.0", True), ("4.7", True)])
def test_a_layout_that_is_not_of_old_is_one_sentence(content, layout, known):
    content["mpcore"]["layout"] = layout
    with pytest.raises(RunError) as refused:
        converted(content, update_noise, "run.json")
    already = f"run.json is of layout {layout!r} already: only 2 and 3 can be converted"
    assert str(refused.value) == (
        already if known else f"run.json: layout {layout!r}: this version reads 4.0 and later ones of 4"
    )


@pytest.mark.parametrize(("other", "found"), [({}, None), ({"mpcore": 3}, 3)])
def test_what_is_no_run_is_one_sentence(other, found):
    with pytest.raises(RunError) as refused:
        converted(other, update_noise, "run.json")
    assert str(refused.value) == f"run.json is no run of mpcore: expected an object under 'mpcore', found {found}"


def verdict(kind, metric, status="same", limit=1.0, sentence="bert-imdb: so it is", **changes):
    case = "bert-imdb-fp16-amp-graph-full"
    fields = {"kind": kind, "case": case, "metric": metric, "status": status, "value": 1.0, "limit": limit}
    return fields | {"sentence": sentence} | changes


def quality(*verdicts, precision="fp16-amp", layout=2):
    training = {"seed": 3, "steps": 1, "train_seconds": 1.0, "evaluation_seconds": 1.0, "metrics": {"accuracy": 0.75}}
    training |= {"confusion": None, "steps_per_point": 1, "losses": [], "loss_scales": [], "skipped_steps": 0, "diverged": None}
    record = {"kind": "quality", "case": CASE | {"precision": precision}, "weights": "random", "data": "embedded"}
    record |= SHARED | {"rows": {"train": 8, "test": 1}, "metric": "accuracy", "trainings": [training]}
    return {"layout": layout, "record": record, "verdicts": list(verdicts)}


def parity(*verdicts):
    blocks = {"steps": 1, "seconds": [1.0, 2.0]}
    record = {"kind": "parity", "case": CASE, "rival": "Fabric", "rival_version": "2.6.1", "ours": blocks, "theirs": blocks}
    return {"layout": 3, "record": record | SHARED, "verdicts": list(verdicts)}


def saved_by(content, *results, **session):
    """What layouts before 4 looked like, from what one of layout 4 holds; each result has a test of its own."""
    machine = content["mpcore"]["machine"]
    benchmarks = [{"fullname": f"test_{number}.py", "extra_info": {"mpcore": of}} for number, of in enumerate(results)]
    beside = {"machine_info": {"mpcore": machine}, "benchmarks": benchmarks, "mpcore": {"command": "pytest"} | session}
    return content | beside


@pytest.fixture
def convert(content):
    def convert(*results, **session):
        return to_run("run.json", converted(saved_by(content, *results, **session), update_noise))

    return convert


@pytest.mark.parametrize(
    ("status", "known", "found"),
    [
        ("same", False, "passed"),
        ("better", False, "passed"),
        ("worse", False, "failed"),
        ("undecided", False, "inconclusive"),
        ("worse", True, "expected_failure"),
        ("undecided", True, "expected_failure"),
        ("same", True, "passed"),
    ],
)
def test_what_must_be_reached_is_a_check(convert, status, known, found):
    (result,) = convert(quality(verdict("quality", "accuracy", status, -1.0, known=known))).results
    assert [(check.status, check.kind) for check in result.checks] == [(found, "accuracy")]
    assert result.record.requirements.loses_updates is known


@pytest.mark.parametrize(
    ("status", "sentence", "found"),
    [
        ("worse", "", "worse"),
        ("undecided", "", "undecided"),
        ("new", "bert-imdb: fp16-amp: no accepted run has it", "new"),
        ("new", "bert-imdb: fp16-amp: accepted runs have it otherwise (batch 8 there, 32 here)", "incomparable"),
    ],
)
def test_what_is_compared_is_a_regression(convert, status, sentence, found):
    compared = {"compared": True, "ratio": 1.5, "interval": [1.25, 1.75], "sentence": sentence}
    (result,) = convert(quality(verdict("quality", "quality", status, **compared))).results
    (regression,) = result.regressions
    assert (regression.status, regression.kind, regression.metric) == (found, "accuracy", "accuracy")
    assert (regression.ratio, regression.interval, regression.sentence) == (1.5, (1.25, 1.75), sentence)


def test_layout_2_knew_less(convert):
    """Neither what is compared, nor what is known of a mode, nor what a prediction reaches that has learnt nothing."""
    (result,) = convert(quality(verdict("quality", "accuracy", limit=-2.0))).results
    assert (result.record.dummy_score, result.record.kind, result.passed) == (None, "accuracy", True)
    assert result.record.requirements.tolerance_points == 2.0


def test_an_accuracy_without_fp32_in_its_run_has_no_reference(convert):
    (alone,) = convert(quality()).results
    assert alone.record.reference is None
    fp32, other = convert(quality(precision="fp32"), quality()).results
    assert fp32.record.reference == other.record.reference == fp32.record.scores
    assert other.record.reference.by_seed == {3: 0.75}


def test_a_negative_control_has_the_tolerance_of_its_workload(convert):
    said = verdict("quality", "accuracy", limit=None, sentence="bert-imdb: negative control: fp16-true diverged")
    control = quality(said, precision="fp16-true")
    results = convert(control, quality(verdict("quality", "accuracy", limit=-1.5))).results
    required = [result.record.requirements for result in results]
    assert [(r.negative_control, r.tolerance_points) for r in required] == [(True, 1.5), (False, 1.5)]
    assert convert(control).results[0].record.requirements.tolerance_points is None


def test_another_trainer_is_called_one(convert):
    faster, score = verdict("parity", "speed-up over Fabric", limit=1.5), verdict("parity", "score", limit=-1.0)
    (result,) = convert(parity(faster, score, verdict("parity", "state of the GPU", limit=0.25))).results
    assert (result.record.trainer, result.record.trainer_version) == ("Fabric", "2.6.1")
    required = result.record.requirements
    assert (required.at_least, required.tolerance_points, required.must_beat) == (1.5, 1.0, ())


def test_what_failed_is_named_by_its_record_or_its_node_id(convert):
    told = [
        {"test": "test_0.py", "sentence": "it is worse"},
        {"test": "benchmarks/test_speed.py::test_speed[bert-imdb-fp8-graph-full]", "sentence": "out of memory"},
        {"test": "benchmarks/test_own.py::test_own", "sentence": "no"},
    ]
    failing = quality(verdict("quality", "accuracy", "worse", -1.0), precision="bf16-amp")
    run = convert(quality(), failing, failed=told)
    assert [failure.name for failure in run.failed] == [
        "accuracy:bert-imdb-fp16-amp-graph-full",
        "speed:bert-imdb-fp8-graph-full",
        "",
        "accuracy:bert-imdb-bf16-amp-graph-full",
    ]
    assert run.failed[-1].test == "test_1.py"  # which its verdict shows
    assert run.common is None


def test_what_all_cases_share_is_there_where_it_failed(convert):
    run = convert(quality(), failed=[{"test": "all cases", "sentence": "all of them take longer"}], missed=2)
    assert (run.common.status, run.common.sentence) == ("worse", "all of them take longer")
    assert (run.missed, run.failed[0].name) == (2, "")


def test_what_is_expected_anew_is_reset(convert):
    accepted = {
        "reason": "so",
        "datetime": "2026-01-03T00:00:00+00:00",
        "overruled": ["test_0.py"],
        "anew": ["quality:a", "speed:b-graph-full"],
    }
    run = convert(quality(), accepted=accepted)
    assert run.accepted.model_dump() == {
        "reason": "so",
        "datetime": "2026-01-03T00:00:00+00:00",
        "allowed_failures": ("test_0.py",),
        "reset": ("accuracy:a", "speed:b-graph-full"),
    }


@pytest.mark.parametrize("layout", [1, 4, "3", None])
def test_a_result_of_another_layout_is_refused(content, layout):
    with pytest.raises(RunError, match=f"the file, test_0.py: layout {layout!r}, only 2 and 3 can be converted"):
        converted(saved_by(content, quality(layout=layout)), update_noise)


BROKEN = {
    "nothing of ours": lambda c: c.pop("mpcore"),
    "no machine": lambda c: c["machine_info"].pop("mpcore"),
    "no record": lambda c: c["benchmarks"][0]["extra_info"]["mpcore"].pop("record"),
    "no case": lambda c: c["benchmarks"][0]["extra_info"]["mpcore"]["record"].update(case=3),
    "no trainings": lambda c: c["benchmarks"][0]["extra_info"]["mpcore"]["record"].pop("trainings"),
    "no unit": lambda c: c["benchmarks"][0]["extra_info"]["mpcore"]["record"].pop("unit"),
    "no object": lambda c: c["benchmarks"][0]["extra_info"].update(mpcore=3),
    "no status": lambda c: c["benchmarks"][0]["extra_info"]["mpcore"]["verdicts"].append(verdict("quality", "x", "good")),
    "no benchmarks": lambda c: c.update(benchmarks=None),
    "a wrong commit": lambda c: c["commit_info"].update(id=3),
}


@pytest.mark.parametrize("spoil", BROKEN.values(), ids=BROKEN)
def test_what_cannot_be_converted_is_said_in_one_sentence(content, saved, tmp_path, spoil):
    content = saved_by(content, quality())
    spoil(content)
    path = saved(content)
    with pytest.raises(RunError) as caught:
        convert_file(path, tmp_path / "new.json", update_noise)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    assert not (tmp_path / "new.json").exists()


def test_a_case_that_is_there_twice_is_not_converted(content, saved, tmp_path):
    path = saved(saved_by(content, quality(), quality()))
    with pytest.raises(RunError, match="accuracy of bert-imdb-fp16-amp-graph-full is there twice"):
        convert_file(path, tmp_path / "new.json", update_noise)
    assert not (tmp_path / "new.json").exists()
