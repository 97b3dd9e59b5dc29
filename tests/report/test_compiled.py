"""A compiled step beside the same step as a graph."""

import pytest
from reading import rows as rows_of

from mpcore.kernels.profile import profile_of
from mpcore.records import Compilation, Result, Speed, Work
from mpcore.report.rows import rows
from mpcore.report.sections.cases import cases

GRAPH = {"elementwise_kernel": (300, 0.010), "sm90_xmma_gemm_bf16bf16_bf16f32_f32": (72, 0.009)}
FUSED = {"triton_poi_fused_add_gelu_3": (60, 0.005), "sm90_xmma_gemm_bf16bf16_bf16f32_f32": (72, 0.009)}
BROKEN = Compilation(
    seconds=23.25,
    warm=False,
    graphs=3,
    graph_breaks=("item (model.py, line 12: x.item())",) * 2,
    recompilations=("size (model.py, line 3: forward)",),
)


@pytest.fixture
def results(full):
    timed = next(r.record for r in full if isinstance(r.record, Speed) and r.record.case.precision == "bf16-amp")
    graph = timed.model_copy(update={"profile": profile_of(GRAPH)})
    changes = {"case": graph.case.model_copy(update={"execution": "compile"}), "profile": profile_of(FUSED)}
    blocks = graph.blocks.model_copy(update={"seconds": tuple(s / 2 for s in graph.blocks.seconds)})
    return [Result(record=r) for r in (graph, graph.model_copy(update={**changes, "blocks": blocks, "compilation": BROKEN}))]


def test_it_is_compared_with_the_graph_and_says_how_it_was_compiled(results):
    graph, compiled = rows(results)
    assert (graph["over_graph"], graph["compile_s"], graph["compiled"]) == (None, None, None)
    assert (compiled["over_graph"], compiled["compile_s"]) == (pytest.approx(2), 23.25)
    assert compiled["compiled"] == (
        "compiled in 23.2 s, not from a cache, to 3 graphs. Graph broken by item (model.py, line 12: x.item()), 2 times. "
        "Compiled again for size (model.py, line 3: forward). Against graph a step takes 14.00 ms of device time, 5.00 ms "
        "(26.3 %) less: elementwise -10.00 ms (elementwise, gone, 300 launches) and triton_poi_fused_add_gelu_3 "
        "+5.00 ms (elementwise, new, 60 launches)"
    )


def test_without_the_graph_it_is_compared_with_nothing(results):
    (compiled,) = rows(results[1:])
    assert (compiled["over_graph"], compiled["compile_s"]) == (None, 23.25)
    assert "against graph" not in compiled["compiled"]


def test_their_tables_stand_side_by_side(results):
    other = results[0].record.case.model_copy(update={"workload": "another"})
    between = Result(record=results[0].record.model_copy(update={"case": other}))
    *sections, legend = cases([results[0], between, results[1]], [], "cuda")
    assert [section.title.split(" on ")[0] for section in sections] == [
        "bert-imdb (full, graph, batch of 32,",
        "bert-imdb (full, compile, batch of 32,",
        "another (full, graph, batch of 32,",
    ]
    assert rows_of(sections[1])[0]["x graph"] == "2.00"
    assert "x graph: times as fast as the same step, not compiled" in legend.lead


@pytest.mark.parametrize("execution", ["graph", "eager"])
def test_what_its_author_compiles_is_compiled_as_a_graph_too(results, execution):
    graph, compiled = (each.record for each in results)
    own = compiled.model_copy(update={"case": graph.case.model_copy(update={"execution": execution})})
    found = rows([Result(record=graph), Result(record=own)] if execution == "eager" else [Result(record=own)])[-1]
    assert (found["over_graph"], found["compile_s"]) == (None, 23.25)
    assert "against graph" not in found["compiled"]


def test_breaks_are_named_where_only_work_was_counted(results, counted):
    timed = results[1:]
    (work,) = (each.record for each in counted(timed) if isinstance(each.record, Work))
    alone = Result(record=work.model_copy(update={"compiled": BROKEN.counts}))
    (found,) = rows([alone])
    assert found["compiled"].startswith("compiled to 3 graphs. Graph broken by item (model.py, line 12: x.item()), 2 times. ")
    whole = rows(timed)[0]["compiled"]
    assert [rows(both)[0]["compiled"] for both in ([alone, *timed], [*timed, alone])] == [whole, whole]
