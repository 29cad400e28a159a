"""A journal's records one after the other, each held against those before it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from edgespiral.core.errors import RunFolderError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from edgespiral.core.records.events import Event


class Rules(Protocol):
    """What the next record of a journal is held to, which follows from those before it."""

    def problem_of(self, event: Event) -> str | None:
        """What is wrong with the next record; None where nothing is."""
        ...

    def add(self, event: Event) -> None:
        """Take in the next record."""
        ...


def require_each(events: Iterable[Event], rules: Rules, path: Path, hint: str) -> None:
    """Refuse a journal with a record that cannot follow those before it.

    Args:
        events: all of the journal's records.
        rules: that have seen no record yet.
        path: the journal's, which the error names with the line.
        hint: what to do then.

    Raises:
        RunFolderError: a record is wrong.
    """
    for number, event in enumerate(events, start=1):
        problem = rules.problem_of(event)
        if problem:
            raise RunFolderError(f"{event.kind}: {problem}", where=f"{path}:{number}", hint=hint)
        rules.add(event)
