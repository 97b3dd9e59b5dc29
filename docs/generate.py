"""Makes all that is generated in README.md and docs/: `python docs/generate.py`, or `make docs`.

Whole files are those of `files()`. In all others what stands between `<!-- NAME -->` and `<!-- /NAME -->` is `BLOCKS[NAME]()`.
Figures come from committed runs alone: those of baselines/, docs/runs/ and published/. A run that is added there needs this
command and nothing else. tests/test_docs.py says what is stale.
"""

import ast
import contextlib
import importlib.util
import io
import itertools
import json
import os
import re
import shutil
import statistics
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from mpcore.__main__ import main
from mpcore.commands import COMMANDS
from mpcore.gate import limits
from mpcore.plugin import options as plugin_options
from mpcore.records import Run
from mpcore.records.case import CAPTURED
from mpcore.records.check import CHECKS
from mpcore.records.regression import REGRESSIONS
from mpcore.report.document import Document, Section
from mpcore.report.documents import kernels_document, published_document, races_document, run_document
from mpcore.report.page.panels import speedups
from mpcore.report.render import render
from mpcore.report.rows import rows
from mpcore.selection import OPTIONS
from mpcore.store import load, load_published

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
SUITES = 300
"""Simulated suites in the tables of calibration: seconds, and the shares of slowdowns do not hang on them."""
VERDICT = ROOT / "baselines" / "nvidia-h200" / "0003_8cc0f144.json"
"""A run with a regression that was measured: an allocator's setting made U-Net slower in FP32."""
SESSION = DOCS / "runs" / "cpu.json"
"""What the quickstart shows: a session without a GPU."""
PICTURE = DOCS / "pictures" / "over-fp32.png"


# Runs


def accepted(hardware: str = "*") -> list[Path]:
    """All of them, the newest of each kind of GPU last."""
    return sorted((ROOT / "baselines").glob(f"{hardware}/[0-9]*.json"))


def newest_of_each() -> dict[str, Path]:
    """The newest accepted run, by the folder of its hardware."""
    return {path.parent.name: path for path in accepted()}


def articles() -> list[Path]:
    """Runs on the data of papers and articles."""
    return sorted(path for path in (DOCS / "runs").glob("*.json") if path != SESSION)


@cache
def run_of(path: Path) -> Run:
    """Named as a reader in the project's root would."""
    return load(path.relative_to(ROOT))


def newest() -> Run:
    """The last accepted run on one GPU."""
    alone = [run for path in newest_of_each().values() if (run := run_of(path)).machine.hardware.count == 1]
    return max(alone, key=lambda run: run.datetime)


# What a terminal prints


def printed(*arguments: str | Path, code: int = 0) -> str:
    """What a command of mpcore prints. Raises SystemExit where it ends with another exit code than `code`."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        ended = main([str(each) for each in arguments])
    if ended != code:
        raise SystemExit(f"python -m mpcore {' '.join(map(str, arguments))}: exit code {ended}, expected {code}")
    return out.getvalue()


def text(lines: str) -> str:
    return f"```text\n{lines.rstrip()}\n```"


def verdict() -> str:
    """The end of a session that failed: a saved run, judged against those that had been accepted before it."""
    with tempfile.TemporaryDirectory() as folder:
        before = Path(folder) / VERDICT.parent.name
        before.mkdir()
        for path in accepted(VERDICT.parent.name):
            if path < VERDICT:
                shutil.copy(path, before)
        lines = printed("judge", VERDICT.relative_to(ROOT), "--baselines", folder, code=1)
    return text(lines[lines.index("failed:") :])


def session() -> str:
    """The tables of a session on a CPU, as it ends."""
    lines = printed("judge", SESSION.relative_to(ROOT)).splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("bert-imdb"))
    return text("\n".join(lines[start : start + 12]))


def compared() -> str:
    """The first rows of a table across hardware."""
    lines = printed("compare", *(path.relative_to(ROOT) for path in accepted())).splitlines()
    start = lines.index("Speed-up over fp32, times")
    return text("\n".join(lines[start : start + 10]))


# Tables


def markdown(*sections: Section) -> str:
    return render(Document("", sections), "markdown").strip()


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], align: str = "") -> str:
    """As markdown, with markup in its cells left as it is: they are of this project."""
    aligned = align or "l" * len(headings)
    rule = ["---:" if side == "r" else "---" for side in aligned]
    return "\n".join(f"| {' | '.join(row)} |" for row in [headings, rule, *rows])


def on_a_gpu() -> str:
    """Steps of BERT-base in the newest accepted run, as graphs and compiled."""
    run = newest()
    usual = [row for row in rows(run.results) if row["workload"] == "bert-imdb" and row["step_ms"] and not row["batch"]]
    ms = {(row["precision"], row["execution"]): f"{row['step_ms']:.2f}" for row in usual}
    shown = [
        (
            row["precision"],
            *(ms.get((row["precision"], execution), "-") for execution in CAPTURED),
            *(f"{row[name]:.2f}" if row[name] else "-" for name in ("over_fp32", "over_tf32")),
        )
        for row in usual
        if row["execution"] == "graph"
    ]
    said = f'`bert-imdb` on {run.machine.hardware.name}, a graph\'s speed-ups over FP32 and TF32; "-" was not measured.'
    return f"{table(('mode', 'graph ms', 'compile ms', 'x fp32', 'x tf32'), shown, 'lrrrr')}\n\n{said}"


def script(name: str) -> ModuleType:
    """A file below tests/, which are no package."""
    spec = importlib.util.spec_from_file_location(Path(name).stem, ROOT / "tests" / name)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# Results


def only_tables(sections: Iterable[Section]) -> Iterator[Section]:
    """A heading, a sentence and tables. Lists of figures, which have no table, stay; what a report says of its tables goes."""
    for section in sections:
        lead = re.split(r"(?<=[.;]) ", section.lead)[0].rstrip(";.")
        yield replace(
            section,
            lead=f"{lead}." if lead else "",
            sentences=() if section.tables else section.sentences,
            sections=list(only_tables(section.sections)),
            commands=(),
            folded=False,
        )


def page(title: str, sentence: str, command: str, *bodies: str) -> str:
    """A page of results: where it comes from, then what `bodies` hold."""
    return "\n\n".join([f"# {title}", sentence, f"```\n{command}\n```", *(body.strip() for body in bodies)]) + "\n"


def of_one_run(path: Path, title: str) -> str:
    run = run_of(path)
    made, *rest = run_document(run).sections
    measured = f"Measured by `{run.command}`." if run.command else "Its command was not kept."
    return page(title, f"{made.lead}\n\n{measured}", f"python -m mpcore report {run.path}", markdown(*only_tables(rest)))


def across_hardware() -> str:
    paths = [path.relative_to(ROOT) for path in accepted()]
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "across.md"
        printed("compare", *paths, "-o", written)
        lines = written.read_text().partition("\n\n")[2]
    sentence = "Of several runs of one hardware the figures are the median, and eager times the range."
    return page("Across hardware", sentence, "python -m mpcore compare baselines/*/*.json", re.sub(r"(?m)^- .*\n\n", "", lines))


def beside_published() -> str:
    paths = [*articles(), *newest_of_each().values()]
    document = published_document([run_of(path) for path in paths], load_published(ROOT / "published"))
    sentence = "`x` is how many times as fast as the modes under `over`: steps where they were timed, else trainings."
    command = f"python -m mpcore published {' '.join(str(path.relative_to(ROOT)) for path in paths)}"
    return page("Beside published figures", sentence, command, render(document, "markdown"))


def longest_kernels() -> str:
    path = newest().path
    sentence = "The five longest kernels of each workload's fastest step whose updates are kept, each with a reason."
    shown = render(kernels_document([newest()], 5), "markdown")
    return page("Kernels", sentence, f"python -m mpcore kernels {path}", shown)


@cache
def calibrated() -> str:
    return printed("calibrate", "--suites", str(SUITES))


def cells(title: str) -> list[list[str]]:
    """The rows of a table of calibration, without its headings."""
    lines = calibrated().partition(title)[2].strip().splitlines()
    rows = itertools.takewhile(lambda line: line.startswith("|"), lines[lines.index("") + 1 :] if "" in lines[:2] else lines)
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in list(rows)[2:]]


def gates() -> str:
    """What judges a change, and how small a one it finds 95 times in 100, by simulation."""
    pairs = statistics.median(float(row[-1]) for row in cells("ab finds 95 times in 100, in per cent:") if "odd" not in row[0])
    runs = max(float(row[3]) for row in cells("accepted runs 95 times in 100, in per cent:") if "steady" in row[0])
    shown = [
        ("`ab main --work-only`", "operations, casts, FLOPs, saved bytes, synchronisations", "one", "a minute", "any CPU"),
        ("`ab main`", "time and memory of a step", f"{pairs:.1f} % of a time", "half a minute a case", "one GPU"),
        ("accepted runs", "time, memory, errors, accuracy, counts", f"{runs:.1f} % of a time", "ten minutes", "one GPU"),
        ("`trend`", "all figures of many nights", f"{100 * limits.TREND_LEAST_CHANGE:g} %, lasting", "seconds", "any CPU"),
    ]
    return table(("gate", "judges", "finds from", "takes", "runs on"), shown)


def calibration() -> str:
    sentence = (
        "How often the gate stops what is no slower, and how small a slowdown it finds, by simulation with recorded noise."
    )
    return page("Calibration", sentence, f"python -m mpcore calibrate --suites {SUITES}", calibrated())


def small_numbers() -> str:
    import torch

    from mpcore.commands.theory import theory

    sentence = "What becomes of small updates and gradients in each mode, computed on a CPU."
    return page("Small numbers", sentence, "python -m mpcore theory", render(theory(torch.device("cpu")), "markdown"))


def planted_faults() -> str:
    faults = script("gate/test_planted_work.py").FAULTS
    rows = [
        (name, fault.workload, f"`{fault.precision}`", "yes" if fault.cpu else "no", f"`{escaped(fault.says)}`")
        for name, fault in faults.items()
    ]
    sentence = "Faults that are planted in a step, and the pattern that the gate's sentence must fit. A GPU sees all of them."
    shown = table(("fault", "workload", "mode", "seen on a CPU", "what is said"), rows)
    return page("Planted faults", sentence, "pytest tests/gate/test_planted_work.py", shown)


def escaped(pattern: str) -> str:
    """As it is read, with what would end a cell escaped."""
    return pattern.replace("\\", "").replace("|", "\\|")


def beside_trainers() -> str | None:
    """None where no committed run holds a race."""
    for hardware in sorted(newest_of_each()):
        runs = [run_of(path) for path in (*accepted(hardware), *articles())]
        ours = [run for run in runs if run.machine.hardware.key == hardware]
        raced = [run for run in ours if any(result.record.kind == "race" for result in run.results)]
        document = races_document(raced) or (run_document(raced[-1]) if raced else None)
        if document:
            sentence = "Steps of mpcore beside those of other trainers, in milliseconds."
            command = f"python -m mpcore report {' '.join(run.path for run in raced)}"
            return page("Beside other trainers", sentence, command, markdown(*only_tables(document.sections)))
    return None


def results() -> dict[str, Callable[[], str | None]]:
    """By the name of the page."""
    made: dict[str, Callable[[], str | None]] = {
        "across-hardware": across_hardware,
        "published": beside_published,
        "trainers": beside_trainers,
        "kernels": longest_kernels,
        "calibration": calibration,
        "small-numbers": small_numbers,
        "planted-faults": planted_faults,
    }
    for hardware, path in newest_of_each().items():
        made[hardware] = lambda path=path, hardware=hardware: of_one_run(path, f"The newest accepted run on {hardware}")
    for path in articles():
        made[path.stem] = lambda path=path: of_one_run(path, f"The run {path.stem}")
    return made


def listed() -> str:
    """The pages of results, by name."""
    found = sorted(path for path in (DOCS / "results").glob("*.md") if path.name != "README.md")
    lines = [f"- [{path.read_text().splitlines()[0].removeprefix('# ')}]({path.name})" for path in found]
    made = "`python docs/generate.py` makes all pages here from committed runs."
    return "\n".join(["# Results", "", made, "", *lines, ""])


# Reference


class Recorded:
    """Takes the place of a parser, of argparse or of pytest, and keeps what is added to it: (names, keywords)."""

    def __init__(self) -> None:
        self.added: list[tuple[tuple[str, ...], dict[str, Any]]] = []
        self.parsers: list[tuple[str, dict[str, Any], Recorded]] = []

    def add_argument(self, *names: str, **keywords: Any) -> None:
        self.added.append((names, keywords))

    addoption = add_argument

    def add_argument_group(self, *_: object, **__: object) -> "Recorded":
        return self

    getgroup = add_mutually_exclusive_group = add_argument_group

    def addini(self, name: str, **keywords: Any) -> None:
        self.added.append(((f"{name} (in the ini file)",), keywords))

    def add_parser(self, name: str, **keywords: Any) -> "Recorded":
        self.parsers.append((name, keywords, Recorded()))
        return self.parsers[-1][2]

    def set_defaults(self, **_: object) -> None:
        """What a command runs is no argument."""


def arguments(recorded: Recorded, left_out: Iterable[str] = ()) -> str:
    rows = []
    for names, keywords in recorded.added:
        if not set(names) & set(left_out):
            value = keywords.get("metavar") or "/".join(keywords.get("choices", ()))
            optional = names[0].startswith("-")
            shown = f"{', '.join(names)} {value}".strip() if optional else value or names[0]
            rows.append((f"`{shown}`", keywords.get("help", "").replace("%%", "%").replace("|", "\\|")))
    return table(("option" if rows and "-" in rows[0][0][:3] else "argument", "meaning"), rows) if rows else ""


def pytest_options() -> str:
    recorded = Recorded()
    plugin_options.add_options(recorded)  # type: ignore[arg-type]
    return arguments(recorded)


def command_options() -> str:
    """A section for each command. Options that name what is measured are those of pytest."""
    commands = Recorded()
    for command in COMMANDS:
        command.add(commands)
    parts = []
    for name, keywords, recorded in commands.parsers:
        shared = any(names[0] in OPTIONS for names, _ in recorded.added)
        parts += [f"### {name}", f"{sentence(keywords.get('description') or keywords['help'])}", arguments(recorded, OPTIONS)]
        parts += ["Options that name cases are those of pytest."] if shared else []
        parts += [f"{sentence(keywords['epilog'])}"] if keywords.get("epilog") else []
    return "\n\n".join(part for part in parts if part)


def sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}".rstrip(".") + "."


def status_table(meanings: dict[str, str], passes: Callable[[str], str]) -> str:
    shown = [(f"`{name}`", passes(name), meaning) for name, meaning in meanings.items()]
    return table(("status", "the test", "meaning"), shown)


def check_statuses() -> str:
    from mpcore.records import Check

    def passes(status: str) -> str:
        return "passes" if Check.model_construct(status=status).passed else "fails"

    return status_table(CHECKS, passes)


def regression_statuses() -> str:
    from mpcore.records import Regression

    def passes(status: str) -> str:
        made = Regression.model_construct(status=status)
        return "fails" if not made.passed else "passes, fails with `--mp-strict`" if made.open else "passes"

    return status_table(REGRESSIONS, passes)


def thresholds() -> str:
    """Each constant of the gate with its value and the first sentence of what is said below it."""
    body = ast.parse(Path(limits.__file__).read_text()).body
    rows = []
    for statement, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            said = after.value.value if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) else ""
            first = re.split(r"(?<=[.]) ", " ".join(said.split()))[0]
            rows.append((f"`{statement.targets[0].id}`", f"`{ast.unparse(statement.value)}`", first))
    return table(("threshold", "value", "meaning"), rows)


def schema() -> str:
    return json.dumps(Run.model_json_schema(), indent=1) + "\n"


def fields() -> str:
    """A table for each record, with the types of its fields."""
    made = Run.model_json_schema()
    parts = []
    for name, record in {"Run": made, **made["$defs"]}.items():
        if record.get("type") == "object" and "properties" in record:
            needed, held = record.get("required", ()), record["properties"]
            cells = [(f"`{field}`", type_of(each), "yes" if field in needed else "no") for field, each in held.items()]
            parts += [f"### {name}", table(("field", "type", "needed"), cells)]
    return "\n\n".join(parts)


def type_of(shown: dict[str, Any]) -> str:
    """Of a field, in words."""
    if "$ref" in shown:
        name = shown["$ref"].rsplit("/", 1)[-1]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in shown or "oneOf" in shown:
        return " or ".join(dict.fromkeys(type_of(each) for each in shown.get("anyOf") or shown["oneOf"]))
    if "const" in shown or "enum" in shown:
        return ", ".join(f"`{each}`" for each in shown.get("enum") or [shown["const"]])
    if shown.get("type") == "array":
        items = [shown["items"]] if "items" in shown else shown.get("prefixItems", [])
        return f"list of {' and '.join(dict.fromkeys(map(type_of, items)))}"
    if shown.get("type") == "object":
        inner = shown.get("additionalProperties")
        return f"object of {type_of(inner)}" if isinstance(inner, dict) else "object"
    return str(shown.get("type", "any"))


# All of it


BLOCKS: dict[str, Callable[[], str]] = {
    "verdict": verdict,
    "gates": gates,
    "session": session,
    "compared": compared,
    "on-a-gpu": on_a_gpu,
    "map": lambda: f"```\n{script('architecture.py').listing()}\n```",
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


def pictured() -> str:
    """The figures of the picture, as CSV. The picture has them in its metadata."""
    view = speedups({newest().machine.hardware.key: newest().results}).views[0]
    import pandas as pd

    return pd.DataFrame(view.columns).to_csv(index=False)


def is_drawn() -> bool:
    """Whether the picture shows them. Another matplotlib would draw other pixels of the same figures."""
    from PIL import Image

    if not PICTURE.is_file():
        return False
    with Image.open(PICTURE) as picture:
        return getattr(picture, "text", {}).get("Description") == pictured()


def draw() -> None:
    from mpcore.report.pictures import pictures

    with tempfile.TemporaryDirectory() as folder:
        first = next(pictures(newest(), Path(folder)))
        shutil.copy(first, PICTURE)


def generate() -> None:
    os.chdir(ROOT)
    for path, made in files().items():
        content = made()
        if content is not None:
            path.write_text(content)
    for path in pages():
        path.write_text(filled(path))
    if not is_drawn():
        draw()


if __name__ == "__main__":
    generate()
