"""Makes all that is generated in README.md and docs/: `python docs/generate.py`, or `make docs`.

Whole files are those of `files()`. In all others what stands between `<!-- NAME -->` and `<!-- /NAME -->` is `BLOCKS[NAME]()`.
Figures come from committed runs alone: those of baselines/, docs/runs/ and published/. A run that is added there needs this
command and nothing else. tests/test_docs.py says what is stale.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path

from generator.calibration import gates
from generator.compiled import gained
from generator.fields import fields, schema
from generator.options import command_options, pytest_options
from generator.picture import all_pictures
from generator.readme import compared, listing, on_a_gpu, session, variant, verdict
from generator.results import listed, results
from generator.runs import DOCS, ROOT
from generator.several_gpus import beside_other_trainers, how_steps_scale
from generator.verdicts import check_statuses, regression_statuses, thresholds

BLOCKS: dict[str, Callable[[], str]] = {
    "verdict": verdict,
    "gates": gates,
    "session": session,
    "compared": compared,
    "variant": variant,
    "on-a-gpu": on_a_gpu,
    "gained": gained,
    "scaling": how_steps_scale,
    "spread-by-others": beside_other_trainers,
    "map": listing,
    "pytest-options": pytest_options,
    "command-options": command_options,
    "check-statuses": check_statuses,
    "regression-statuses": regression_statuses,
    "thresholds": thresholds,
    "fields": fields,
}


def files() -> dict[Path, Callable[[], str | None]]:
    """Each file that is generated as a whole. None is a file that is not there yet."""
    made: dict[Path, Callable[[], str | None]] = {DOCS / "results" / f"{name}.md": each for name, each in results().items()}
    made[DOCS / "results" / "README.md"] = listed
    made[DOCS / "reference" / "run.schema.json"] = schema
    return made


def pages() -> list[Path]:
    """Those that a person writes."""
    return [ROOT / "README.md", *sorted(path for path in DOCS.rglob("*.md") if path not in files())]


def block(name: str) -> re.Pattern[str]:
    return re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)


def blocks_in(path: Path) -> list[str]:
    return re.findall(r"<!-- ([a-z-]+) -->", path.read_text())


def filled(path: Path) -> str:
    """The text of a page, with its generated parts as they are to be."""
    written = path.read_text()
    for name in blocks_in(path):
        made = BLOCKS[name]()
        written = block(name).sub(lambda found, made=made: f"{found[1]}{made}\n{found[2]}", written)
    return written


def generate() -> None:
    os.chdir(ROOT)
    for path, made in files().items():
        content = made()
        if content is not None:
            path.write_text(content)
    for path in pages():
        path.write_text(filled(path))
    for picture in all_pictures():
        if not picture.is_drawn():
            picture.draw()


if __name__ == "__main__":
    generate()
