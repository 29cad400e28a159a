import os
import sys
from collections.abc import Callable
from subprocess import CompletedProcess

import pytest
import typer

from edgespiral.cli.one_line import OneLineGroup
from edgespiral.core.errors import ExitCode, UsageError

Command = Callable[..., CompletedProcess[str]]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["compres"], "No such command 'compres'"),
        (["compress", "--epochs", "abc"], "Invalid value for '--epochs': "),
        (["compress", "--speed", "2"], "No such option: --speed"),
        (["measure"], "Missing argument "),
        (["bench", "run", "--nope"], "No such option: --nope"),
        (["export", "m", "--data", "digits", "--samples", "0"], "Invalid value for '--samples': "),
    ],
)
def test_what_the_parser_refuses_is_one_line(
    edgespiral: Command, words: list[str], told: str
) -> None:
    done = edgespiral(*words)
    assert done.returncode == ExitCode.USAGE
    assert done.stdout == ""
    assert done.stderr.startswith(f"error: {told}")
    assert done.stderr.endswith(" --help (see docs/commands.md)\n")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("words", [[], ["targets"]])
def test_a_command_without_words_shows_its_help(edgespiral: Command, words: list[str]) -> None:
    done = edgespiral(*words)
    assert done.returncode == ExitCode.USAGE
    assert "Usage: " in done.stdout + done.stderr
    assert "error" not in done.stderr


def an_app(verb: Callable[[], None]) -> typer.Typer:
    app = typer.Typer(cls=OneLineGroup)
    app.command()(verb)
    app.command("other")(verb)
    return app


def test_an_exit_code_is_kept() -> None:
    def verb() -> None:
        raise typer.Exit(12)

    with pytest.raises(SystemExit) as ended:
        an_app(verb)(["verb"])
    assert ended.value.code == ExitCode.SCORE_FLOOR


def test_an_interrupt_ends_with_its_code() -> None:
    def verb() -> None:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as ended:
        an_app(verb)(["verb"])
    assert ended.value.code == ExitCode.INTERRUPTED


def test_a_refusal_can_be_caught_by_callers() -> None:
    with pytest.raises(UsageError, match="No such command 'x'"):
        an_app(lambda: sys.exit(1))(["x"], standalone_mode=False)


@pytest.mark.parametrize("words", [["report"], ["compress", "net.py:net", "--out"], ["--version"]])
def test_a_name_that_is_no_text_is_refused(edgespiral: Command, words: list[str]) -> None:
    done = edgespiral(*words, os.fsdecode(b"run\xff"))
    assert done.returncode == ExitCode.USAGE
    assert done.stderr.startswith(r"error: run\udcff: is not UTF-8; ")
    assert done.stderr.count("\n") == 1
