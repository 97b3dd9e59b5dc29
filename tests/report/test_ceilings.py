"""The share of the ceiling, in one table for all workloads."""

import pytest

from mpcore.records import Result, Speed
from mpcore.report.sections.ceilings import ceilings


def test_a_graph_and_a_compiled_step_stand_below_each_other(full):
    speeds = {r.record.case.precision: r.record for r in full if isinstance(r.record, Speed)}
    graphs = [speeds["bf16-amp"], speeds["bf16-manual"]]
    compiled = graphs[0].model_copy(
        update={
            "case": graphs[0].case.model_copy(update={"execution": "compile"}),
            "blocks": graphs[0].blocks.model_copy(update={"seconds": tuple(s / 2 for s in graphs[0].blocks.seconds)}),
        }
    )
    (section,) = ceilings([Result(record=speed) for speed in (*graphs, compiled)])
    (table,) = section.tables
    shares = [100 * speed.ceiling_share for speed in (*graphs, compiled)]
    assert shares[2] == pytest.approx(2 * shares[0])
    assert table.headings == ["workload", "as", "bf16-amp", "bf16-manual"]
    assert table.rows == [
        ["bert-imdb", "graph", f"{shares[0]:.0f}", f"{shares[1]:.0f}"],
        ["bert-imdb", "compile", f"{shares[2]:.0f}", "-"],
    ]


def test_without_a_ceiling_there_is_no_table(results):
    assert ceilings(results) == []
