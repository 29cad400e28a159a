"""How a person goes on with a command that was stopped."""

from __future__ import annotations

import shlex
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def resume_command(command: str) -> str:
    """The command that goes on with `command`, quoted for a shell.

    Example:
        >>> resume_command("edgespiral train resnet8")
        'edgespiral train resnet8 --resume'
    """
    return command if "--resume" in shlex.split(command) else f"{command} --resume"


def tell_stopped(console: Console, command: str) -> None:
    """Say that nothing is lost and how to go on, in one line to paste however wide it is."""
    text = f"stopped; nothing is lost. Go on with:\n  {resume_command(command)}"
    with suppress(OSError):  # a terminal that hung up
        console.print(text, markup=False, highlight=False, soft_wrap=True)
