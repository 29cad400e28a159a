"""The two streams that commands write to, safe against what is written and what cannot be."""

from __future__ import annotations

import os
import shlex
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.segment import Segment

from edgespiral.core.errors import RunFolderError
from edgespiral.core.text import printable, printable_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rich.console import ConsoleOptions, RenderableType
    from rich.text import Text

# Set by GitHub, Azure Pipelines and TeamCity, which take orders from what a step prints.
OBEYING = ("GITHUB_ACTIONS", "TF_BUILD", "TEAMCITY_VERSION")
# What makes an order of a line: `::error::`, and anywhere in it `##[`, `##vso[` or `##teamcity[`.
COMMANDS = {"::": ": :", "##": "# #"}


class OutputClosedError(Exception):
    """Nobody reads any more what is printed, as after `| head`."""


class Terminal(Console):
    """A console on which text is data: no markup is read from it, and it moves no cursor.

    Args:
        stderr: print on standard error.
        github: break up what GitHub would read as a command; also done where its variable is set.
    """

    def __init__(self, *, stderr: bool = False, github: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False)
        self._name = "standard error" if stderr else "standard output"
        self._github = github or on_ci()

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """See `Console.render`; everything printed passes here, cursor movements of bars too."""
        for segment in super().render(renderable, options):
            if segment.control or not segment.text:
                yield segment
            else:
                yield Segment(_safe(segment.text, github=self._github), segment.style)

    def render_str(self, text: str, **options: Any) -> Text:  # noqa: ANN401 (as Console has it)
        """See `Console.render_str`; what is written out takes the room that it is measured at."""
        return super().render_str(printable(text, keep="\n"), **options)

    def print(self, *objects: Any, **options: Any) -> None:  # noqa: ANN401 (as Console has it)
        """See `Console.print`.

        Raises:
            OutputClosedError: nobody reads it.
            RunFolderError: the stream cannot be written to, as on a full disk.
        """
        with _writing_to(self._name):
            super().print(*objects, **options)

    def on_broken_pipe(self) -> None:
        """See `Console.on_broken_pipe`."""
        raise OutputClosedError


def tell(text: str, *, err: bool = False) -> None:
    """Print lines of text on standard output, or on standard error.

    Raises:
        OutputClosedError: nobody reads it.
        RunFolderError: the stream cannot be written to.
    """
    _echo(_safe(text, github=on_ci()), err=err)


def tell_json(document: str) -> None:
    """Print a JSON document on standard output; see `tell`."""
    safe = printable_json(document)
    _echo(safe.replace("##", "\\u0023#") if on_ci() else safe)


def tell_commands(lines: str) -> None:
    """Print GitHub's commands on standard error, whose values are escaped already; see `tell`."""
    _echo(printable(lines, keep="\n"), err=True, nl=False)


def on_ci() -> bool:
    """Whether GitHub, or another CI that takes orders, reads what is printed here."""
    return any(os.environ.get(name) for name in OBEYING)


def open_streams() -> None:
    """Take the null device for each standard stream that came closed, as from `>&-`.

    Their numbers would else be given to the next files that are opened, and what a library prints
    would be written into these.
    """
    for number in range(3):
        if not _is_open(number):
            # The lowest number that is free is given, and those below are taken by now.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def drop_unwritten() -> None:
    """Forget what could not be written, so that Python's end does not complain of it once more."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
        except ValueError:  # somebody's code closed it
            continue


def _echo(text: str, *, err: bool = False, nl: bool = True) -> None:
    with _writing_to("standard error" if err else "standard output"):
        typer.echo(text, err=err, nl=nl)


@contextmanager
def _writing_to(name: str) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:
        raise OutputClosedError from error
    except OSError as error:
        raise RunFolderError(f"cannot write: {error.strerror}", where=name) from error
    except ValueError as error:
        if sys.stderr.closed if name == "standard error" else sys.stdout.closed:
            raise RunFolderError("was closed by code that ran here", where=name) from error
        raise


def _safe(text: str, *, github: bool) -> str:
    text = printable(text, keep="\n")
    for command, broken_up in COMMANDS.items() if github else ():
        text = text.replace(command, broken_up)
    return text


def command_line() -> str:
    """The command that started this process, quoted for a shell."""
    return shlex.join(["edgespiral", *sys.argv[1:]])
