"""What docs/several-gpus.md shows of the newest committed run on several GPUs."""

from generator.markdown import markdown
from generator.picture import several_gpus
from generator.results import only_tables
from generator.runs import DOCS, spread
from mpcore.report.sections.scaling import scaling


def how_steps_scale() -> str:
    """A picture, and a table for each workload."""
    run, picture = spread(), several_gpus()
    if run is None or picture is None:
        return "No run on several GPUs is committed yet."
    drawn = f"![Throughput against the number of GPUs]({picture.path.relative_to(DOCS)})"
    return f"{drawn}\n\n{markdown(*only_tables(scaling(run.results, 'Measured')))}"
