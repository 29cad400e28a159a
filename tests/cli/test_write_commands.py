from typing import Annotated

import typer

from edgespiral.cli import write_commands
from edgespiral.cli.app import app
from edgespiral.cli.write_commands import commands_text


def test_the_page_is_of_today_s_commands() -> None:
    page = write_commands.PAGE.read_text(encoding="utf-8")
    assert page == commands_text(app), "run `make plan`"


def test_a_command_of_a_group_has_its_usage_and_options() -> None:
    outer, inner = typer.Typer(name="outer"), typer.Typer()
    outer.add_typer(inner, name="inner")

    @inner.command(name="do")
    def do(
        what: Annotated[str, typer.Argument(help="A|b, or *.")],
        times: Annotated[int, typer.Option(help="How often, by `a_b`.")] = 3,
    ) -> None:
        """Do it
        often.
        """

    @inner.command(name="secret", hidden=True)
    def secret() -> None:
        """Nobody is told."""

    page = commands_text(outer)
    section = page.partition("## outer inner do\n")[2]
    assert section.startswith("\nDo it often.\n\n    outer inner do [OPTIONS] {what}\n")
    assert "| `--times <int>` | How often, by `a_b`. [default: 3] |" in section
    assert "A\\|b, or \\*." in section
    assert "secret" not in page
