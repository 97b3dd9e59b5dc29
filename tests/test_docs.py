"""README.md and docs/: what is generated is not stale, commands can be run, links lead somewhere, sentences can be read."""

import ast
import functools
import itertools
import re
import shlex
from pathlib import Path

import generate
import pytest
from generator.picture import all_pictures
from generator.verdicts import thresholds

from mpcore.__main__ import parser

ROOT = Path(__file__).parent.parent
MOST_WORDS, MOST_WORDS_ON_AVERAGE = 25, 18
NOUNS = re.compile(r"\b(what is none|that is none|that are none|of which|that of)\b")
README_WORDS = range(700, 901)
MOST_WORDS_TO_EXPLAIN = 900


def shown(path):
    return str(path.relative_to(ROOT))


PAGES = generate.pages()
FILES = generate.files()
ALL = [*PAGES, *(path for path in FILES if path.suffix == ".md" and path.is_file())]
STALE = "python docs/generate.py makes it again"


@pytest.fixture(autouse=True)
def _in_the_root(monkeypatch):
    """As whoever types the commands."""
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("path", FILES, ids=shown)
def test_a_generated_file_is_what_the_committed_runs_say(path):
    content = FILES[path]()
    assert path.is_file() == (content is not None), STALE
    assert content is None or path.read_text() == content, STALE


@pytest.mark.parametrize("path", [path for path in PAGES if generate.blocks_in(path)], ids=shown)
def test_the_generated_parts_of_a_page_are_what_the_code_says(path):
    assert path.read_text() == generate.filled(path), STALE


def test_every_threshold_says_what_it_is():
    silent = [line for line in thresholds().splitlines() if line.rstrip(" |").count("|") < 3]
    assert silent == []


def test_nobody_writes_among_the_results():
    assert set((ROOT / "docs" / "results").iterdir()) - FILES.keys() == set()


def test_pictures_show_the_newest_runs():
    """They have their figures with them."""
    made = {picture.path: picture.is_drawn() for picture in all_pictures()}
    assert [shown(path) for path, drawn in made.items() if not drawn] == [], STALE
    assert set((ROOT / "docs" / "pictures").iterdir()) == made.keys(), STALE


@pytest.mark.parametrize("path", ALL, ids=shown)
def test_a_page_has_no_markup_that_github_would_leave_out(path):
    """Of a folder named `<set>` without backticks nothing is shown."""
    assert re.findall(r"</?[a-z][^>]*>", re.sub(r"`[^`\n]*`", "", without_code(path.read_text()))) == []


# Links


def slug(heading):
    """The anchor that GitHub makes of a heading."""
    plain = re.sub(r"[^\w\- ]", "", re.sub(r"&#?\w+;", "", heading.lower()))
    return plain.strip().replace(" ", "-")


def without_code(text):
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def links(path):
    """The files of the project that a page names, each with its anchor."""
    found = re.findall(r"\]\(([^)\s]+)\)", without_code(path.read_text()))
    for target, _, anchor in (link.partition("#") for link in found if "://" not in link):
        yield ((path.parent / target).resolve() if target else path), anchor


@functools.cache
def anchors(path):
    return {slug(line.lstrip("# ")) for line in without_code(path.read_text()).splitlines() if line.startswith("#")}


@pytest.mark.parametrize("path", ALL, ids=shown)
def test_links_lead_somewhere(path):
    missing = [
        f"{target}#{anchor}"
        for target, anchor in links(path)
        if not (target.exists() and (not anchor or anchor in anchors(target)))
    ]
    assert missing == []


def test_every_page_is_linked():
    linked = {target for path in ALL for target, _ in links(path) if target != path}
    assert {shown(path) for path in ALL} - {shown(path) for path in linked if path.is_relative_to(ROOT)} == {"README.md"}


# Commands


def commands(path):
    """The lines of blocks of a page that are for a shell."""
    for block in re.findall(r"^```\n(.*?)^```", path.read_text(), flags=re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            for part in line.split("&&"):
                yield part.split(" #")[0].strip()


def typed(program):
    """[(page, arguments)] of all commands that begin so."""
    found = [(shown(path), part) for path in PAGES for part in commands(path)]
    inline = [(shown(path), part) for path in PAGES for part in re.findall(r"`([^`\n]+)`", without_code(path.read_text()))]
    for page, part in (*found, *inline):
        part = part.removeprefix("git bisect run ")
        if part.startswith(f"{program} "):
            yield page, part.removeprefix(f"{program} ")


OURS = sorted(
    {arguments for _, arguments in typed("python -m mpcore") if "..." not in arguments and "COMMAND" not in arguments}
)
PYTESTS = sorted({arguments for _, arguments in (*typed("pytest"), *typed("python -m pytest")) if "..." not in arguments})


@pytest.mark.parametrize("arguments", OURS)
def test_a_command_is_one(arguments):
    """Its options are parsed, and files that it names without a placeholder are there."""
    words = shlex.split(arguments)
    assert parser().parse_args(words).run  # which ends the test with argparse's own sentence otherwise
    committed = [word for word in words if re.match(r"(baselines|published|docs)\b", word)]
    assert [word for word in committed if not list(ROOT.glob(word))] == []


@pytest.mark.parametrize("arguments", PYTESTS)
def test_a_command_of_pytest_has_options_and_names_that_are_there(arguments, pytestconfig):
    words = shlex.split(arguments)
    for option in (word.split("=")[0] for word in words if word.startswith("--")):
        pytestconfig.getoption(option)  # raises ValueError for another
    given = dict(itertools.pairwise(words))
    options = ("--mp-workload", "--mp-precision", "--mp-trainer")
    named = [name for option in options for name in given.get(option, "").split(",")]
    assert set(named) - {""} - known_names() == set()
    files = [word for word in words if re.match(r"(benchmarks|tests)\b", word)]
    assert [file for file in files if not (ROOT / file.split("::")[0]).exists()] == []


def test_examples_that_a_command_loads_are_named_as_somebody_in_a_clone_types_them():
    examples = {path.name for path in (ROOT / "examples").iterdir()}
    typed_ones = [(page, arguments) for program in ("pytest", "python -m mpcore") for page, arguments in typed(program)]
    loaded = [(page, Path(name)) for page, arguments in typed_ones for name in re.findall(r"--mp-load (\S+\.py)", arguments)]
    assert [(page, name) for page, name in loaded if name.name in examples and not (ROOT / name).is_file()] == []


@functools.cache
def known_names():
    """Of workloads, modes and trainers that are here or in an example of the docs."""
    from mpcore.precision import precisions
    from mpcore.trainers import trainers
    from mpcore.workloads import workloads

    text = "".join(path.read_text() for path in PAGES)
    shown = re.findall(r"^    name(?:, \w+)* = \"([\w-]+)\"", text, flags=re.MULTILINE)
    return {"all", *precisions.names(), *trainers.names(), *workloads.names(), *shown}


def test_a_guide_prints_a_frame_of_committed_runs(capsys):
    (code,) = re.findall(
        r"^```python\n(.*?)^```", (ROOT / "docs" / "reading-a-report.md").read_text(), flags=re.MULTILINE | re.DOTALL
    )
    exec(code, {})
    assert "vit-l-cifar10" in capsys.readouterr().out


def test_all_that_a_page_shows_is_explained():
    """Its sections, and its panels by their titles."""
    page = ROOT / "mpcore" / "report" / "page"
    calls = (node for path in page.glob("*.py") for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
    panels = [call.args[1].value for call in calls if ast.unparse(call.func) == "Panel"]
    titles = [*panels, *re.findall(r"<h2>([^{<]+)</h2>", (page / "page.html").read_text())]
    explained = re.findall(r"^\*\*([^*]+)\*\*", (ROOT / "docs" / "reading-a-report.md").read_text(), flags=re.MULTILINE)
    assert set(titles) - set(explained) == set()


def test_the_code_of_the_readme_learns(tmp_path):
    import torch

    from mpcore.loading import load
    from mpcore.workloads import workloads

    (code,) = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), flags=re.MULTILINE | re.DOTALL)
    (tmp_path / "mine.py").write_text(code)
    known = dict(workloads._classes)
    try:
        load(tmp_path / "mine.py")
        step = workloads["mine"]("tiny")
        run = step.build("bf16-amp", torch.device("cpu"))
        batch = step.batches(torch.device("cpu"))[0]
        losses = [run(batch).item() for _ in range(100)]
    finally:
        workloads._classes.clear()
        workloads._classes.update(known)
    assert losses[-1] < losses[0]


# Sentences


def prose(path):
    """What a person wrote to be read: no code, no headings, nothing generated."""
    text = without_code(path.read_text())
    text = re.sub(r"<!-- ([a-z-]+) -->.*?<!-- /\1 -->", "", text, flags=re.DOTALL)
    text = re.sub(r"\$\$.*?\$\$", "", text, flags=re.DOTALL)
    text = re.sub(r"^(#.*|\|[-:| ]+\|)$", "", text, flags=re.MULTILINE)
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return re.sub(r"`[^`]*`|\$[^$]*\$", "x", text)


def sentences(path):
    """Of paragraphs, items of lists and cells of tables."""
    lines = re.sub(r"\n(?=\s*(?:[-*>|]|\d+\.) )", "\n\n", prose(path))
    for part in re.split(r"\n\s*\n", lines):
        for cell in part.split("|") if part.lstrip().startswith("|") else [part]:
            plain = " ".join(re.sub(r"^\s*(?:[-*>]|\d+\.) ", "", cell.strip()).split())
            yield from filter(None, re.split(r"(?<=[.!?])[*\")]* +", plain))


@pytest.mark.parametrize("path", PAGES, ids=shown)
def test_sentences_are_short(path):
    counts = {sentence: len(sentence.split()) for sentence in sentences(path)}
    assert {sentence: count for sentence, count in counts.items() if count > MOST_WORDS} == {}
    assert sum(counts.values()) <= MOST_WORDS_ON_AVERAGE * len(counts)
    assert NOUNS.findall(prose(path)) == []


def messages(path):
    """The texts of a file of code that are no docstrings."""
    tree = ast.parse(path.read_text())
    silent = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in silent:
            yield node.value


def test_messages_name_what_they_speak_of():
    """As in the docs, none says "that of" in place of a noun."""
    files = [*(ROOT / "mpcore").rglob("*.py"), *(ROOT / "benchmarks").glob("*.py")]
    said = {shown(path): [text for text in messages(path) if NOUNS.search(text)] for path in files}
    assert {path: texts for path, texts in said.items() if texts} == {}


def words(path):
    return len(re.findall(r"\w[\w'-]*", prose(path)))


def test_the_readme_is_read_to_its_end():
    assert words(ROOT / "README.md") in README_WORDS


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "explanation").glob("*.md")), ids=shown)
def test_an_explanation_is_one_sitting(path):
    assert words(path) < MOST_WORDS_TO_EXPLAIN
