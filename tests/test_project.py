"""The project, as pytest finds it."""

import pytest

from mpcore.__main__ import parser
from mpcore.commands.arguments import selected
from mpcore.project import CONFIGURATIONS, ProjectError, configured_files, project_root

SECTIONS = {
    "pytest.toml": "[pytest]\nmp_load = ['a.py', 'b.py']",
    ".pytest.toml": "[pytest]\nmp_load = ['a.py', 'b.py']",
    "pytest.ini": "[pytest]\nmp_load = a.py b.py",
    ".pytest.ini": "[pytest]\nmp_load = a.py b.py",
    "pyproject.toml": "[tool.pytest.ini_options]\nmp_load = ['a.py', 'b.py']",
    "tox.ini": "[pytest]\nmp_load =\n    a.py\n    b.py",
    "setup.cfg": "[tool:pytest]\nmp_load = a.py b.py",
}


@pytest.fixture
def inside(tmp_path, monkeypatch):
    """A folder of a project without a configuration, in which we are."""
    folder = tmp_path / "project" / "inside"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_the_root_is_where_pytest_is_configured_and_so_are_its_files(inside, name):
    (inside / "pyproject.toml").write_text("[project]\nname = 'x'")
    (inside.parent / name).write_text(SECTIONS[name])
    assert project_root() == inside.parent
    assert configured_files() == (inside.parent / "a.py", inside.parent / "b.py")


@pytest.mark.parametrize("command", ["doctor", "scale"])
def test_commands_load_what_pytest_loads_and_what_is_named(inside, command):
    (inside.parent / "pytest.ini").write_text(SECTIONS["pytest.ini"])
    options = parser().parse_args([command, "--mp-load", "c.py"])
    assert selected(options).load == (str(inside.parent / "a.py"), str(inside.parent / "b.py"), "c.py")


def test_it_is_what_pytest_itself_finds(inside, pytester, monkeypatch):
    """Of each file alone, and of all of them together."""
    pytester.makeconftest('pytest_plugins = ["mpcore.plugin"]')
    test = pytester.makepyfile("def test(pytestconfig): print('found', *pytestconfig.getini('mp_load'), pytestconfig.rootpath)")
    monkeypatch.chdir(pytester.path)
    for name in reversed(CONFIGURATIONS):
        (pytester.path / name).write_text(SECTIONS[name].replace("a.py", f"of-{name}.py"))
        done = pytester.runpytest_subprocess("-s", test)
        done.stdout.fnmatch_lines([f"*found {' '.join(map(str, configured_files()))} {pytester.path}"])
        assert configured_files()[0].name == f"of-{name}.py"


@pytest.mark.parametrize("section", ["[tool.pytest]\nmp_load = ['a.py']", "[tool.pytest.ini_options]\nmp_load = 'a.py'"])
def test_a_pyproject_may_hold_lists_and_texts(inside, section):
    (inside / "pyproject.toml").write_text(section)
    assert configured_files() == (inside / "a.py",)
    assert str(project_root()) == "."


@pytest.mark.parametrize(
    ("name", "text"), [("setup.cfg", "[metadata]\nname = x"), ("tox.ini", "[tox]"), ("pyproject.toml", "")]
)
def test_a_file_that_says_nothing_to_pytest_is_passed_over(inside, name, text):
    (inside / name).write_text(text)
    (inside.parent / "pytest.ini").touch()
    assert project_root() == inside.parent
    assert configured_files() == ()


def test_without_a_configuration_it_is_where_a_pyproject_is_or_here(inside):
    assert str(project_root()) == "."
    (inside.parent / "pyproject.toml").touch()
    assert project_root() == inside.parent
    assert configured_files() == ()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pyproject.toml", "[tool"),
        ("pyproject.toml", "tool = 3"),
        ("pyproject.toml", b"\xff"),
        ("pytest.ini", "x"),
        ("setup.cfg", "[a\n"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(inside, name, text):
    (inside / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    for function in (project_root, configured_files):
        with pytest.raises(ProjectError, match=f"cannot read .*{name}: "):
            function()
