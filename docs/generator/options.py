"""The options of pytest's plugin and of the commands, from their parsers."""

from collections.abc import Iterable
from typing import Any

from generator.markdown import table
from mpcore.commands import COMMANDS
from mpcore.plugin import options as plugin_options
from mpcore.selection import OPTIONS


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


def arguments(recorded: Recorded, left_out: Iterable[str] = ()) -> str:
    rows = []
    for names, keywords in recorded.added:
        if not set(names) & set(left_out):
            value = keywords.get("metavar") or "/".join(keywords.get("choices", ()))
            optional = names[0].startswith("-")
            shown = f"{', '.join(names)} {value}".strip() if optional else value or names[0]
            rows.append((f"`{shown}`", keywords.get("help", "").replace("%%", "%").replace("|", "\\|").replace("<", "&lt;")))
    return table(("option" if rows and "-" in rows[0][0][:3] else "argument", "meaning"), rows) if rows else ""


def sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}".rstrip(".") + "."
