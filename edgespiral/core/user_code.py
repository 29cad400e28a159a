"""The boundary to code that is not ours: whatever it raises becomes one error that names the place.

A user's data sets, models and factories may raise anything, `SystemExit` of a script's last line
and `StopIteration` among it. Nothing of that may end a run without a word, or pass for our own; and
what they change for the whole process does not change what we do (`core.process_state`).
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from edgespiral.core.errors import EdgeSpiralError
from edgespiral.core.system.process_state import kept_state
from edgespiral.core.text import described

if TYPE_CHECKING:
    from collections.abc import Iterator

OURS = (EdgeSpiralError, KeyboardInterrupt, GeneratorExit)


@contextmanager
def user_code(
    error: type[EdgeSpiralError], what: str, *, where: str | None = None, hint: str | None = None
) -> Iterator[None]:
    """Run somebody else's code inside.

    Args:
        error: what an exception of it becomes.
        what: what it failed at; the exception's kind and words come after a colon.
        where: the place that the error names.
        hint: what to do about it.

    Raises:
        EdgeSpiralError: an `error` for any exception; our own errors and Ctrl-C pass.
    """
    try:
        with kept_state():
            yield
    except OURS:
        raise
    except BaseException as raised:
        raise error(f"{what}: {_why(raised, where)}", where=where, hint=hint) from raised


def _why(raised: BaseException, where: str | None) -> str:
    """An exception in words; of the very file that is named, what the system says of it."""
    if isinstance(raised, OSError) and raised.strerror and str(raised.filename) == where:
        return raised.strerror.lower()
    return described(raised)
