"""An end to steps that have none of their own."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from edgespiral.core.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

# Not 0, which would take an alarm away that is due.
SOON_SECONDS = 0.001


@contextmanager
def limited(seconds: float, what: str) -> Iterator[None]:
    """End the body with an error once it has taken `seconds`.

    It rests on an alarm of the operating system, which only the main thread can have: in other
    threads, where the system has no alarms and where one is set that comes sooner, there is no
    limit. One that comes later goes on afterwards.

    Raises:
        ModelError: `what` took longer.
    """
    free = threading.current_thread() is threading.main_thread() and hasattr(signal, "setitimer")
    other = signal.getitimer(signal.ITIMER_REAL)[0] if free else 0.0
    if not free or 0 < other <= seconds:
        yield
        return

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise ModelError(
            f"{what} took more than {seconds:.0f} s",
            hint="a smaller input size makes it quicker; what is found does not depend on it",
        )

    start, before = time.monotonic(), signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if other:
            rest_s = other - (time.monotonic() - start)
            signal.setitimer(signal.ITIMER_REAL, max(rest_s, SOON_SECONDS))
