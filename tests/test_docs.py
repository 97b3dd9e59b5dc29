"""README.md and docs/: what is generated is not stale, commands can be run, links lead somewhere, sentences can be read."""

import ast
import functools
import itertools
import re
import shlex
from pathlib import Path

import generate
import prose
import pytest
from generator.picture import all_pictures
from generator.verdicts import thresholds

from mpcore.__main__ import parser

ROOT = Path(__file__).parent.parent
MOST_WORDS_ON_AVERAGE = 18
README_WORDS = range(700, 901)
MOST_WORDS_TO_EXPLAIN = 900


def shown(path):
    return str(path.relative_to(ROOT))


PAGES = generate.pages()
FILES = generate.files()
ALL = [*PAGES, *(path for path in FILES if path.suffix == ".md" and path.is_file())]
CODE = sorted([*(ROOT / "mpcore").rglob("*.py"), *(ROOT / "benchmarks").glob("*.py")])
TEXTS = (ast.Constant, ast.JoinedStr, ast.BinOp, ast.IfExp)
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
    assert re.findall(r"</?[a-z][^>]*>", re.sub(r"`[^`\n]*`", "", prose.without_code(path.read_text()))) == []


# Links


def slug(heading):
    """The anchor that GitHub makes of a heading."""
    plain = re.sub(r"[^\w\- ]", "", re.sub(r"&#?\w+;", "", heading.lower()))
    return plain.strip().replace(" ", "-")


def links(path):
    """The files of the project that a page names, each with its anchor."""
    found = re.findall(r"\]\(([^)\s]+)\)", prose.without_code(path.read_text()))
    for target, _, anchor in (link.partition("#") for link in found if "://" not in link):
        yield ((path.parent / target).resolve() if target else path), anchor


@functools.cache
def anchors(path):
    return {slug(line.lstrip("# ")) for line in prose.without_code(path.read_text()).splitlines() if line.startswith("#")}


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
    inline = [
        (shown(path), part) for path in PAGES for part in re.findall(r"`([^`\n]+)`", prose.without_code(path.read_text()))
    ]
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


GENERATED = re.compile(r"<!-- ([a-z-]+) -->(.*?)<!-- /\1 -->", flags=re.DOTALL)


def written(path):
    """What a person wrote to be read."""
    return GENERATED.sub("", path.read_text())


def generated(path):
    """What a program wrote to be read."""
    return "\n\n".join(found[2] for found in GENERATED.finditer(path.read_text())) if path in PAGES else path.read_text()


@pytest.mark.parametrize("path", PAGES, ids=shown)
def test_sentences_are_short(path):
    counts = {sentence: len(sentence.split()) for sentence in prose.sentences(written(path))}
    assert {sentence: count for sentence, count in counts.items() if count > prose.MOST_WORDS} == {}
    assert sum(counts.values()) <= MOST_WORDS_ON_AVERAGE * len(counts)
    assert prose.NOUNS.findall(prose.plain(written(path))) == []


@pytest.mark.parametrize("path", ALL, ids=shown)
def test_generated_sentences_are_short(path):
    text = generated(path)
    assert prose.too_long([text]) == {}
    assert prose.NOUNS.findall(prose.plain(text)) == []


def message(node, named):
    """The text of an expression, where "x" stands for what is filled in. Of two branches it is the longer one. named: the
    expressions behind variables."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(message(part, named) for part in parts)
        case ast.FormattedValue(value=value):
            return message(value, named)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return message(left, named) + message(right, named)
        case ast.IfExp(body=body, orelse=other):
            return max(message(body, named), message(other, named), key=prose.words)
        case ast.Name(id=name) if name in named:
            return message(named[name], {})
    return "x"


def given_once(scope):
    """The variables of a module or function that have one value, each with it."""
    given = [
        (node.targets[0].id, node.value)
        for node in ast.walk(scope)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    ]
    names = [name for name, _ in given]
    return {name: value for name, value in given if names.count(name) == 1}


def messages(path):
    """The texts of a file of code that are no docstrings."""
    tree = ast.parse(path.read_text())
    silent = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for scope in (tree, *(node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))):
        named = given_once(scope)
        yield from (message(node, named) for node in ast.walk(scope) if isinstance(node, TEXTS) and id(node) not in silent)


MADE = """
def check(name):
    '''Says nothing.'''
    expected = "expected a path"
    raise ValueError(f"{name}: no file{' is there' if name else ''}: {expected}" + ", or two")
"""


def test_a_message_is_read_with_all_that_it_is_made_of(tmp_path):
    (tmp_path / "code.py").write_text(MADE)
    said = set(messages(tmp_path / "code.py"))
    assert "x: no file is there: expected a path, or two" in said
    assert "Says nothing." not in said


@pytest.mark.parametrize("path", CODE, ids=shown)
def test_messages_can_be_read(path):
    """Their sentences are as short as those of the docs, and none says "that of" in place of a noun."""
    said = list(messages(path))
    assert prose.too_long(said) == {}
    assert [text for text in said if prose.NOUNS.search(text)] == []


@pytest.mark.parametrize("path", sorted((ROOT / "mpcore" / "report").rglob("*.html")), ids=shown)
def test_a_template_can_be_read(path):
    """What is between two tags is a paragraph, but for tags within a sentence."""
    text = re.sub(r"{{.*?}}", "x", re.sub(r"{%.*?%}|</?(?:code|strong)[^>]*>", "", path.read_text()), flags=re.DOTALL)
    text = re.sub(r"<[^>]*>", "\n\n", text)
    assert prose.too_long([text]) == {}
    assert prose.NOUNS.findall(text) == []


def words(path):
    return len(re.findall(r"\w[\w'-]*", prose.plain(written(path))))


def test_the_readme_is_read_to_its_end():
    assert words(ROOT / "README.md") in README_WORDS


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "explanation").glob("*.md")), ids=shown)
def test_an_explanation_is_one_sitting(path):
    assert words(path) < MOST_WORDS_TO_EXPLAIN
