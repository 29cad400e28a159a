"""What a person is told of a setting: by `--help` and by the tables of docs/."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qsl

from edgespiral.core.errors import UsageError

# A switch has no value; a number-or-word is a number where it reads as one; a budget is a number
# for all targets or TARGET=NUMBER, given as often as there are targets.
Takes = Literal["text", "texts", "path", "int", "float", "switch", "number-or-word", "budget"]

# The default of what has none: a plan without it is refused.
NEEDED = "needed"
# What is given without a flag before it.
POSITIONAL = "model"


@dataclass(frozen=True, kw_only=True)
class Option:
    """One setting, as the command line and the docs show it.

    Attributes:
        name: of the field, as in a plan file.
        takes: what its value is.
        help: a sentence or two in Markdown. `{names}` stands for plug-ins' names.
        pages: of docs/, in Markdown, which say more; left out on the command line.
        default: its default, as a person would write it, or in words; `NEEDED`, or empty if
            there is none.
        metavar: what its value is called, where the type does not say enough.
        group: the heading under which `--help` has it; empty for none.
        names_of: the plug-in kind that `{names}` are of, as "module:NAME".
    """

    name: str
    takes: Takes
    help: str
    pages: str = ""
    default: str = ""
    metavar: str = ""
    group: str = ""
    names_of: str = ""


def flag(name: str) -> str:
    """What the command line calls a field.

    Example:
        >>> flag("max_drop"), flag("model")
        ('--max-drop', 'MODEL')
    """
    return name.upper() if name == POSITIONAL else f"--{name.replace('_', '-')}"


def options_of(query: str, where: str) -> dict[str, str]:
    """What stands behind the question mark of a name: `size=64&seed=2`.

    Raises:
        UsageError: an option is given twice; `where` is named.

    Example:
        >>> options_of("size=64&mirror=no", "--data folder:a")
        {'size': '64', 'mirror': 'no'}
    """
    pairs = parse_qsl(query, keep_blank_values=True)
    options = dict(pairs)
    if len(options) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for at, name in enumerate(names) if name in names[:at])
        raise UsageError(f"{twice} is given twice", where=where, hint="say it once")
    return options
