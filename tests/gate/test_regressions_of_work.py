"""What a step does is compared exactly, and what differs is named."""

from collections import Counter

import pytest
from made import operations, run, step, work

from mpcore.gate import Margins, checks, match_baselines, regressions
from mpcore.gate.work import work_regressions
from mpcore.records import Accepted, Compiled, Operation

FIGURES = ["synchronisations", "FP32 FLOPs", "FLOPs", "casts", "cast bytes", "saved bytes", "state bytes"]
GEMM, RELU = "sm90_xmma_gemm_bf16bf16_bf16f32_f32", "relu"
CONVOLUTION = "sm90_xmma_fprop_f32"


def found(before, after, accepted=()):
    return {regression.metric: regression for regression in work_regressions(before, after, accepted)}


def differing(before, after):
    """The statuses of all that is not the same."""
    return {metric: regression.status for metric, regression in found(before, after).items() if regression.status != "same"}


def explanation(regression):
    return regression.sentence.partition(" base: ")[2]


def cast(module):
    return Operation("_to_copy", "bfloat16", "8x8", module, "forward")


def changed(*pairs, gone=()):
    """The operations with some counted otherwise."""
    return {op: count for op, count in (operations() | dict(pairs)).items() if op not in gone}


def why(counts):
    """What is said of the operations of a step that has these."""
    return explanation(found(work(), work(counts))["operations"])


def replaced(counts, fits, **changes):
    """With fields changed of the operations that fit."""
    replaced = Counter()
    for op, count in counts.items():
        replaced[op._replace(**changes) if fits(op) else op] += count
    return replaced


def test_the_same_is_the_same_in_every_figure():
    same = found(work(), work())
    assert list(same) == [*FIGURES, "operations"]
    assert {regression.status for regression in same.values()} == {"same"}
    assert {(regression.kind, regression.case) for regression in same.values()} == {("work", "bert-imdb-bf16-amp-eager-tiny")}
    assert same["casts"].sentence == "bert-imdb: a step of bf16-amp has 4 casts, as in base"


def test_a_cast_too_many_is_named_with_its_module():
    more = work(changed((cast("layer.1.dense"), 2)), casts=5, cast_bytes=1920)
    assert differing(work(), more) == {"casts": "worse", "cast bytes": "worse", "operations": "changed"}
    worse = found(work(), more, [work()])
    assert worse["casts"].sentence == (
        "bert-imdb: a step of bf16-amp has 5 casts, 4 in the last accepted run: "
        "_to_copy (bfloat16, 8x8) 1 -> 2 in layer.1.dense, forward"
    )
    assert (worse["casts"].value, worse["casts"].limit, worse["casts"].ratio) == (5, 4, 1.25)
    assert worse["cast bytes"].sentence.endswith("moves 1,920 bytes in casts, 1,536 in the last accepted run")
    assert differing(more, work()) == {"casts": "better", "cast bytes": "better", "operations": "changed"}


def test_layers_in_a_row_that_changed_alike_are_named_once():
    assert why(changed(*((cast(f"layer.{n}.dense"), 3) for n in range(3)))) == (
        "_to_copy (bfloat16, 8x8) 1 -> 3 in layer.[0-2].dense, forward"
    )


def test_an_operation_that_fell_back_to_fp32_is_told_before_what_follows_from_it():
    classifier = replaced(changed(gone=[cast("classifier")]), lambda op: op.module == "classifier", dtype="float32")
    fell_back = work(classifier, flops_by_dtype={"bfloat16": 750, "float32": 450}, casts=3)
    assert differing(work(), fell_back) == {"FP32 FLOPs": "worse", "casts": "better", "operations": "changed"}
    regressions = found(work(), fell_back)
    assert regressions["FP32 FLOPs"].sentence == (
        "bert-imdb: a step of bf16-amp computes 450 FLOPs in FP32, 200 in base: addmm in classifier is float32, was bfloat16"
    )
    assert explanation(regressions["operations"]) == (
        "addmm in classifier is float32, was bfloat16; _to_copy (bfloat16, 8x8) 1 -> 0 in classifier, forward; "
        "t in classifier is float32, was bfloat16"
    )


def test_operations_of_one_module_that_got_the_same_format_are_one_phrase():
    both = [Operation("bmm", "bfloat16", shapes, "attention", "forward") for shapes in ("2x2x2 2x2x2", "2x4x2 2x2x2")]
    before = changed(*((op, 1) for op in both), (both[0]._replace(name="baddbmm"), 1))
    after = replaced(before, lambda op: op.module == "attention", dtype="float32")
    assert explanation(found(work(before), work(after))["operations"]) == (
        "baddbmm, bmm in attention are float32, were bfloat16"
    )


def test_what_fell_back_in_the_backward_pass_alone_is_named():
    after = replaced(operations(), lambda op: (op.name, op.module) == ("mm", "classifier"), dtype="float32")
    assert why(after) == "mm in classifier is float32, was bfloat16"


def test_other_shapes_are_told_beside_those_that_were():
    addmm = Operation("addmm", "bfloat16", "8 4x8 8x8", "classifier", "forward")
    fewer = changed((addmm._replace(shapes="8 2x8 8x8"), 1), gone=[addmm])
    assert why(fewer) == "addmm (bfloat16, 8 4x8 8x8 -> 8 2x8 8x8) in classifier, forward"
    assert why(fewer | {addmm: 1}) == "addmm (bfloat16, 8 2x8 8x8) 0 -> 1 in classifier, forward"
    view = addmm._replace(name="view", shapes="4x8")
    both = changed((addmm, 2), (view, 1), (view._replace(shapes="8"), 1))
    other = changed((addmm, 2), (view._replace(shapes="2x8"), 1), (view._replace(shapes="16"), 1))
    assert explanation(found(work(both), work(other))["operations"]) == ("view (bfloat16, other shapes) in classifier, forward")


def test_what_is_more_arithmetic_is_worse_in_any_format():
    twice = {op: 2 * count if op.name == "addmm" else count for op, count in operations().items()}
    more = work(twice, flops_by_dtype={"bfloat16": 1500, "float32": 200})
    assert differing(work(), more) == {"FLOPs": "worse", "operations": "changed"}
    assert explanation(found(work(), more)["FLOPs"]) == (
        "addmm (bfloat16, 8 4x8 8x8) 1 -> 2 in layer.[0-2].dense, forward; "
        "addmm (bfloat16, 8 4x8 8x8) 1 -> 2 in classifier, forward"
    )


def test_tf32_is_no_fp32():
    before, after = (work(flops_by_dtype={"tf32": tf32, "float32": fp32}) for tf32, fp32 in ((900, 100), (0, 1000)))
    assert differing(before, after) == {"FP32 FLOPs": "worse"}
    assert differing(after, before) == {"FP32 FLOPs": "better"}


def test_a_synchronisation_is_worse_and_has_its_line():
    item, other = "_local_scalar_dense (train.py, line 12: loss.item())", "nonzero (model.py, line 3: mask.nonzero())"
    before, after = work(synchronisations=(item,)), work(synchronisations=(item.replace("12", "15"), other))
    assert differing(work(), before) == {"synchronisations": "worse"}
    assert found(before, after)["synchronisations"].sentence == (
        f"bert-imdb: a step of bf16-amp has 2 synchronisations, 1 in base: {other} 0 -> 1"
    )
    assert differing(before, work(synchronisations=(item.replace("12", "15"),))) == {}


def test_what_is_kept_for_the_backward_pass_is_explained_by_the_operations_that_differ():
    mask = Operation("native_dropout", "float32", "4x8", "layer.0", "forward")
    kept = found(work(), work(changed((mask, 1)), saved_bytes=4224))["saved bytes"]
    assert kept.status == "worse"
    assert kept.sentence == (
        "bert-imdb: a step of bf16-amp keeps 4,224 bytes for its backward pass, 4,096 in base: "
        "native_dropout (float32, 4x8) 0 -> 1 in layer.0, forward"
    )


def test_what_holds_more_of_the_state_is_named():
    regression = found(work(), work(optimiser_bytes=4000))["state bytes"]
    assert regression.status == "worse"
    assert regression.sentence == (
        "bert-imdb: a step of bf16-amp has 6,000 bytes of weights, gradients and optimiser, 4,000 in base: "
        "optimiser bytes 2,000 -> 4,000"
    )


def test_a_difference_in_operations_alone_is_in_no_direction():
    copied = work(changed((Operation("clone", "bfloat16", "4x8", "layer.2", "forward"), 1)))
    assert differing(work(), copied) == {"operations": "changed"}
    regression = found(work(), copied)["operations"]
    assert (regression.passed, regression.open) == (True, True)
    assert regression.sentence == (
        "bert-imdb: a step of bf16-amp has 30 operations, 29 in base: clone (bfloat16, 4x8) 0 -> 1 in layer.2, forward"
    )


def test_a_loop_in_place_of_one_operation_is_named_with_both():
    fused = next(op for op in operations() if op.name == "_fused_adamw_")
    loop = [Operation("addcdiv_", "float32", shapes, "", "update") for shapes in ("8x8 8x8 8x8", "8 8 8")]
    counts = changed(*((op, 4) for op in loop), gone=[fused])
    assert why(counts) == ("_fused_adamw_ (float32, 8x8 8) 1 -> 0, update; addcdiv_ (float32, 2 shapes) 0 -> 8, update")


def test_three_are_named_and_the_others_counted():
    counts = changed(*((Operation(f"gelu{n}", "float32", f"{n}", "", "forward"), 1) for n in range(1, 6)))
    assert why(counts) == (
        "gelu5 (float32, 5) 0 -> 1, forward; gelu4 (float32, 4) 0 -> 1, forward; gelu3 (float32, 3) 0 -> 1, forward; and 2 more"
    )


def test_the_largest_is_named_first_and_a_view_last():
    names = [("view", "999x999"), ("gelu", "2x2"), ("relu", "3x3"), ("bmm", "1x1x1")]
    counts = changed(*((Operation(name, "float32", shapes, "", "forward"), 1) for name, shapes in names))
    told = explanation(found(work(), work(counts))["operations"])
    assert [phrase.split()[0] for phrase in told.split("; ")] == ["bmm", "relu", "gelu", "and"]


def test_what_follows_in_the_backward_pass_is_told_after_the_forward_pass():
    attention = Operation("bmm", "float32", "2x2x2 2x2x2", "attention", "forward")
    large = attention._replace(shapes="8x8x8 8x8x8", phase="backward")
    told = why(changed((attention, 1), (large, 2)))
    assert told == (
        "bmm (float32, 2x2x2 2x2x2) 0 -> 1 in attention, forward; bmm (float32, 8x8x8 8x8x8) 0 -> 2 in attention, backward"
    )


def test_a_module_of_another_name_is_told_after_what_changed():
    renamed = replaced(operations(), lambda op: op.module == "classifier", module="head")
    told = why(renamed | {cast("layer.0.dense"): 2})
    assert told.startswith("_to_copy (bfloat16, 8x8) 1 -> 2 in layer.0.dense, forward; ")
    assert "t (bfloat16, 8x8) is in head, was in classifier" in told
    assert "-> 0" not in told
    assert found(work(), work(renamed))["operations"].sentence.startswith(
        "bert-imdb: a step of bf16-amp has 29 operations, as many as in base: "
    )


def kernels(**changes):
    return work(kernels={GEMM: 8, RELU: 4} | changes)


def launches(before, after, accepted=()):
    return found(before, after, accepted)["launches"]


@pytest.mark.parametrize(
    ("changes", "status", "said"),
    [
        ({}, "same", "launches 12 kernels, as in base"),
        ({"gelu": 0}, "same", "launches 12 kernels, as in base"),
        ({RELU: 5}, "worse", "launches 13 kernels, 12 in base: relu 4 -> 5"),
        ({RELU: 0}, "better", "launches 8 kernels, 12 in base: relu 4 -> 0"),
        ({RELU: 3, "gelu": 1}, "changed", "launches 12 kernels, as many as in base: gelu 0 -> 1; relu 4 -> 3"),
    ],
)
def test_launches_are_compared_kernel_by_kernel(changes, status, said):
    regression = launches(kernels(), kernels(**changes))
    assert (regression.status, regression.sentence) == (status, f"bert-imdb: a step of bf16-amp {said}")


def test_a_cpu_launches_nothing():
    assert "launches" not in found(work(), work())


@pytest.mark.parametrize(
    "name", [CONVOLUTION, "cudnn nchwToNhwc<half>", "fft2d_r2c_64x64<float>", "init_device_workspace", "ReduceSplitK<half>"]
)
def test_kernels_that_are_chosen_anew_are_judged_where_accepted_runs_agree(name):
    one, two = kernels(**{name: 1}), kernels(**{name: 2})
    assert launches(one, two).status == "same"
    assert launches(one, two).sentence.endswith(
        "launches 14 kernels, 13 in base: kernels that cuDNN chooses differ, which is not judged (1)"
    )
    assert launches(one, two, [one]).status == "same"
    assert launches(one, two, [one, one]).status == "worse"
    assert launches(one, two, [two, one]).status == "same"
    assert launches(one, two, [two, one, one]).status == "same"


def test_beside_a_convolution_others_are_judged():
    before, after = kernels(**{CONVOLUTION: 1}), kernels(**{CONVOLUTION: 2, RELU: 5})
    assert launches(before, after).status == "worse"
    assert "relu 4 -> 5. Kernels that cuDNN chooses" in launches(before, after).sentence


def test_other_software_is_shown_and_not_judged():
    (regression,) = work_regressions(work(), work(casts=5, software={"torch": "2.12.0"}))
    assert (regression.metric, regression.status, regression.passed) == ("work", "incomparable", True)
    assert regression.sentence == (
        "bert-imdb: a step of bf16-amp is not judged against base, which counted otherwise "
        "(torch 2.11.0 there, 2.12.0 here). Casts 4 -> 5"
    )


def test_of_another_batch_nothing_is_shown():
    (regression,) = work_regressions(work(), work(casts=5, batch_size=64))
    assert regression.status == "incomparable"
    assert regression.sentence.endswith("(batch 32 there, 64 here)")


def accepted(*records, reset=()):
    return run(*records, accepted=Accepted(reason="x", datetime="2026-01-03T00:00:00+00:00", reset=tuple(reset)))


def against(record, *runs):
    return {r.metric: r for r in regressions(match_baselines(record, [accepted(old) for old in runs]), Margins(), None)}


def test_the_last_accepted_run_is_what_is_compared_with():
    found = against(work(casts=5), work(casts=5), work(casts=4))
    assert (found["casts"].status, found["casts"].limit) == ("worse", 4)
    assert "4 in the last accepted run" in found["casts"].sentence
    assert against(work(casts=5), work(casts=4), work(casts=5))["casts"].status == "same"


def test_accepted_runs_tell_which_kernels_repeat():
    one, two = kernels(**{CONVOLUTION: 1}), kernels(**{CONVOLUTION: 2})
    assert against(two, one, one)["launches"].status == "worse"
    assert against(two, one)["launches"].status == "same"


def test_what_was_counted_by_other_software_is_shown_beside_why_it_is_not_compared():
    (regression,) = against(work(casts=5), work(software={"torch": "2.10.0"})).values()
    assert (regression.status, regression.metric) == ("incomparable", "work")
    assert regression.sentence == (
        "bert-imdb: bf16-amp: accepted runs have it otherwise (torch 2.10.0 there, 2.11.0 here). Casts 4 -> 5. "
        "`python -m mpcore accept FILE --reason TEXT` makes it one"
    )


def test_work_that_no_run_has_is_new():
    (regression,) = against(work(), step(10.0)).values()
    assert (regression.status, regression.kind) == ("new", "work")


BREAK = "Call to `graph_break()` (model.py, line {}: graph_break())"


@pytest.mark.parametrize("compiled", [Compiled(graphs=0), None])  # none of a step of somebody's own, who compiles it himself
def test_what_is_compiled_no_more_is_worse_and_its_lost_breaks_are_no_praise(compiled):
    before = work(compiled=Compiled(graphs=2, graph_breaks=(BREAK.format(12),)))
    judged = found(before, work(compiled=compiled))
    assert judged["graphs"].status == "worse"
    assert "is compiled to 0 graphs, 2 in base: it runs as it is" in judged["graphs"].sentence
    assert "graph breaks" not in judged


@pytest.mark.parametrize(("graphs", "status"), [(0, "failed"), (1, "passed"), (3, "passed")])
def test_a_step_that_is_to_be_compiled_is(graphs, status):
    (check,) = checks(work(compiled=Compiled(graphs=graphs)))
    assert (check.metric, check.status) == ("compilation", status)
    assert checks(work()) == []


def test_a_graph_break_is_named_with_its_line():
    before = work(compiled=Compiled(graphs=1, graph_breaks=(BREAK.format(12),)))
    after = work(compiled=Compiled(graphs=3, graph_breaks=(BREAK.format(14), "item (model.py, line 15: x.item())")))
    assert differing(before, after) == {"graph breaks": "worse", "graphs": "worse"}
    assert explanation(found(before, after)["graph breaks"]) == "item (model.py, line 15: x.item()) 0 -> 1"
    assert differing(after, before) == {"graph breaks": "better", "graphs": "better"}


def test_a_recompilation_is_named_with_its_reason():
    before, after = (work(compiled=Compiled(graphs=1, recompilations=again)) for again in ((), ("size (model.py, line 2: f)",)))
    assert differing(before, after) == {"recompilations": "worse"}
    assert explanation(found(before, after)["recompilations"]) == "size (model.py, line 2: f) 0 -> 1"


def test_what_was_compiled_is_compared_where_both_know_it():
    assert differing(work(), work(compiled=Compiled(graphs=1))) == {}
