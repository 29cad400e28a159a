"""Writes docs/commands.md from the commands themselves: `make plan`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).parents[2] / "docs" / "commands.md"
HEAD = """# Commands

<!-- Written by `make plan` from the commands themselves: edit those. -->

Each ends with a documented [exit code](exit-codes.md), and errors are one line on standard error.
The options of `compress` may stand in a [plan file](plan.md), too.
"""


def commands_text(app: typer.Typer) -> str:
    """The page of all commands of `app`, in Markdown: for each what it does, and its options."""
    root = typer.main.get_command(app)
    return HEAD + "".join(_sections(root, str(root.name), None))


def _sections(command: Any, name: str, parent: typer.Context | None) -> Iterator[str]:  # noqa: ANN401
    """A command's section, and those of the commands in it.

    Typer's classes of commands have no public names, so none is said here.
    """
    context = typer.Context(command, info_name=name, parent=parent)
    yield _section(command, context)
    for word, inner in getattr(command, "commands", {}).items():
        if not inner.hidden:
            yield from _sections(inner, word, context)


def _section(command: Any, context: typer.Context) -> str:  # noqa: ANN401
    usage = " ".join(command.collect_usage_pieces(context))
    rows = [
        f"| `{_one_cell(flags)}` | {_escaped(meaning)} |\n"
        for flags, meaning in filter(None, (p.get_help_record(context) for p in command.params))
    ]
    table = ["\n| | |\n| --- | --- |\n", *rows] if rows else []
    about = " ".join((command.help or "").split())
    path = context.command_path
    return "".join([f"\n## {path}\n\n{_escaped(about)}\n\n    {path} {usage}\n", *table])


def _one_cell(flags: str) -> str:
    return flags.replace("|", ", ")


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is; what stands between backticks is code there, too."""
    parts = " ".join(text.split()).split("`")
    for place in range(0, len(parts), 2):
        for mark, escape in (("|", "\\|"), ("*", "\\*"), ("_", "\\_"), ("<", "&lt;")):
            parts[place] = parts[place].replace(mark, escape)
    return "`".join(parts)


def main() -> None:
    """Write the page anew."""
    from edgespiral.cli.app import app

    PAGE.write_text(commands_text(app), encoding="utf-8")


if __name__ == "__main__":
    main()
