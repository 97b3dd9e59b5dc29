"""What compiling gains, and what it takes."""

from generator.markdown import table
from generator.runs import as_one, newest
from mpcore.report.rows import rows

MODES = ("fp16-amp", "bf16-amp", "bf16-manual")


def gained() -> str:
    """Of each workload that was accepted last on one GPU: times as fast as a graph, and seconds to compile."""
    run = as_one(newest())
    compiled = [row for row in rows(run.results) if row["execution"] == "compile" and row["over_graph"]]
    shown = []
    for workload in dict.fromkeys(row["workload"] for row in compiled):
        own = {row["precision"]: row for row in compiled if row["workload"] == workload}
        seconds = [row["compile_s"] for row in own.values()]
        ratios = [f"{own[mode]['over_graph']:.2f}" if mode in own else "-" for mode in MODES]
        shown.append((workload, *ratios, f"{min(seconds):.1f} to {max(seconds):.1f}"))
    headings = ("workload", *(f"{mode}, x graph" for mode in MODES), "seconds to compile")
    return f"{table(headings, shown, 'lrrrr')}\n\nOn {run.machine.hardware.name}, with an empty cache."
