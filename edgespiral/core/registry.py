"""Named implementations, looked up with an error that names the nearest known name."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Generic, TypeVar

from edgespiral.core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")
SHOWN = 12


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """The error for a name that nothing goes by, with the nearest names that exist."""
    names = sorted(known)
    near = difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.5)
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    listed = f"known: {', '.join(names[:SHOWN])}{more}"
    hint = f"did you mean {' or '.join(near)}?" if near else listed
    return UsageError(f"unknown {kind} {name!r}", hint=hint)


class Registry(Generic[T]):
    """Implementations of one kind of thing, by name."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._items: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator: make the decorated thing known as `name`."""

        def add(item: T) -> T:
            self._items[name] = item
            return item

        return add

    def get(self, name: str) -> T:
        """The thing called `name`.

        Raises:
            UsageError: no such name; the message has the nearest known names.
        """
        if name not in self._items:
            raise unknown_name(self._kind, name, self._items)
        return self._items[name]

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted(self._items)
