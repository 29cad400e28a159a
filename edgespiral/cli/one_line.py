"""What the command line's own parser refuses is told like every other error: in one line."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup

from edgespiral.core.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

# Typer's public name for one kind of refusal; what all kinds have in common is two steps above it.
Refusal: type[Exception] = typer.BadParameter.__mro__[2]


class OneLineGroup(TyperGroup):
    """A group of commands whose wrong flags and arguments are `UsageError`."""

    def main(  # type: ignore[override]
        self,
        args: Any = None,  # noqa: ANN401 (as click has it)
        *,
        standalone_mode: bool = True,
        **extra: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Parse and run; in stand-alone mode end the process, as click's own does.

        Raises:
            UsageError: a flag, a value or a command is wrong, or a word is no text.
        """
        _require_text(sys.argv[1:] if args is None else args)
        try:
            ended = super().main(args, standalone_mode=False, **extra)
        except Refusal as refusal:
            ended = _told(refusal)
        except typer.Abort:
            ended = ExitCode.INTERRUPTED
        if standalone_mode:
            sys.exit(ended if isinstance(ended, int) else ExitCode.OK)
        return ended


def _require_text(words: Sequence[str]) -> None:
    """Refuse words that journals, records and pages cannot have in them, and libraries do not open.

    Raises:
        UsageError: one is not UTF-8.
    """
    for word in words:
        try:
            word.encode()
        except UnicodeEncodeError as error:
            hint = "give the file or folder another name"
            raise UsageError("is not UTF-8", where=word, hint=hint) from error


def _told(refusal: Any) -> ExitCode:  # noqa: ANN401 (of typer's own click, or of click)
    """What a command ends with that was given nothing, and has shown its help.

    Raises:
        UsageError: anything else was wrong.
    """
    text = " ".join(refusal.format_message().split()).rstrip(".")
    if not text:
        return ExitCode.USAGE
    context = getattr(refusal, "ctx", None)
    hint = f"see {context.command_path} --help" if context else None
    raise UsageError(text, hint=hint) from refusal
