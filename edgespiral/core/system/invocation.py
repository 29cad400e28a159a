"""The command line that started this process, as a person would type it."""

from __future__ import annotations

import shlex
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def command_line() -> str:
    """The present command, quoted for a shell."""
    return shlex.join(["edgespiral", *sys.argv[1:]])


def resume_command() -> str:
    """The command that goes on with this one."""
    return command_line() if "--resume" in sys.argv else f"{command_line()} --resume"


def tell_stopped(console: Console) -> None:
    """Say that nothing is lost and how to go on, in one line to paste however wide it is."""
    text = f"stopped; nothing is lost. Go on with:\n  {resume_command()}"
    with suppress(OSError):  # a terminal that hung up
        console.print(text, markup=False, highlight=False, soft_wrap=True)
