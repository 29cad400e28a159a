"""The command line that started this process, as a person would type it."""

from __future__ import annotations

import shlex
import sys


def command_line() -> str:
    """The present command, quoted for a shell."""
    return shlex.join(["edgespiral", *sys.argv[1:]])


def resume_command() -> str:
    """The command that goes on with this one."""
    return command_line() if "--resume" in sys.argv else f"{command_line()} --resume"
