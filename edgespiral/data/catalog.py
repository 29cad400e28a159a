"""Data sets by name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgespiral.core.errors import DataError, UsageError, unknown_name
from edgespiral.core.factory import is_factory
from edgespiral.core.text import shortened
from edgespiral.core.user_code import user_code
from edgespiral.data.sources import SOURCES

if TYPE_CHECKING:
    from edgespiral.core.batches import DataSplits

FACTORY = "path/to/file.py:factory"


def load(spec: str) -> DataSplits:
    """The data set that `spec` names, in three splits that never depend on a run's seed.

    Args:
        spec: a source's name, as `digits`, with what it takes after a colon, as
            `folder:PATH[?size=64]`; or `path/to/file.py:factory`.

    Raises:
        UsageError: no such name, file or factory.
        DataError: found nowhere, damaged, or not of the form described.
    """
    # Not needed to list names, which `--help` does.
    from edgespiral.data.guard import guarded

    return guarded(_load(spec))


def _load(spec: str) -> DataSplits:
    if is_factory(spec):
        from edgespiral.data.user import load_user

        return load_user(spec)
    check_name(spec)
    name, _, argument = spec.partition(":")
    # Files of other people's may hold anything, and sources may be of other distributions.
    with user_code(DataError, "cannot be read", where=shortened(spec)):
        return SOURCES.get(name)(argument)


def check_name(spec: str) -> None:
    """Refuse what names no source; nothing is imported or read.

    Raises:
        UsageError: the nearest names are given, or what a path lacks.
    """
    name = spec.partition(":")[0]
    if is_factory(spec) or name in SOURCES.names():
        return
    if Path(spec).exists():
        raise UsageError(
            f"{spec!r} does not say what kind of data it is",
            hint=f"put the kind before it, such as folder:{spec} (edgespiral init finds it out)",
        )
    raise unknown_name(SOURCES.kind, spec, [*SOURCES.names(), FACTORY])
