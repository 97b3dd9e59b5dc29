"""What docs/several-gpus.md shows of committed runs on several GPUs."""

from dataclasses import replace

from generator.markdown import markdown
from generator.picture import several_gpus
from generator.results import only_tables
from generator.runs import DOCS, spread, spread_by_others
from mpcore.report.sections.scaling import scaling


def how_steps_scale() -> str:
    """A picture, and a table for each workload."""
    run, picture = spread(), several_gpus()
    if run is None or picture is None:
        return "No run on several GPUs is committed yet."
    drawn = f"![Throughput against the number of GPUs]({picture.path.relative_to(DOCS)})"
    return f"{drawn}\n\n{markdown(*only_tables(scaling(run.results, 'Measured')))}"


def beside_other_trainers() -> str:
    """A table for each workload, of the runs in which other trainers spread it."""
    runs = spread_by_others()
    commands = [f"- `{run.command}`, with torch {run.machine.software['torch']}" for run in runs]
    found = scaling([result for run in runs for result in run.results], "Beside other trainers")
    tables = [replace(section, sections=()) for section in found if section.tables]
    return "\n\n".join([markdown(*only_tables(tables)), "\n".join(["Measured by", "", *commands])])
