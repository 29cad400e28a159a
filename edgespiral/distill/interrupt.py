"""Ctrl-C that waits for the step in progress, so that the state saved is a whole one.

So do the other signals that end a command, where `core.stopping` listens to them.
"""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from edgespiral.core.system.stopping import SIGNALS, STOP

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType


class Interrupt:
    """Whether Ctrl-C was pressed."""

    def __init__(self) -> None:
        self._pressed = False

    def press(self, number: int, _frame: object) -> None:
        """Note the first signal; a second Ctrl-C raises at once."""
        if self._pressed and number == signal.SIGINT:
            raise KeyboardInterrupt
        STOP.note(number)
        self._pressed = True

    @property
    def is_pressed(self) -> bool:
        """Whether Ctrl-C was pressed since the last check."""
        return self._pressed

    def check(self) -> None:
        """Raise KeyboardInterrupt if Ctrl-C was pressed since the last check."""
        if self._pressed:
            self.stop()

    def stop(self) -> NoReturn:
        """Raise KeyboardInterrupt, also for a Ctrl-C that another process has heard."""
        self._pressed = False
        raise KeyboardInterrupt


@contextmanager
def held_back() -> Iterator[Interrupt]:
    """Inside, Ctrl-C takes effect where `check` is called, and at the end.

    Only the main thread can do this.
    """
    interrupt = Interrupt()
    handlers = _raising() if threading.current_thread() is threading.main_thread() else {}
    for number in handlers:
        signal.signal(number, interrupt.press)
    try:
        yield interrupt
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        # Even where an error ends the work: a caller may catch that and go on.
        interrupt.check()


def _raising() -> dict[int, Callable[[int, FrameType | None], object]]:
    """The handlers that would raise KeyboardInterrupt at once, by signal."""
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    return {
        number: handler
        for number, handler in handlers.items()
        if callable(handler) and handler in (signal.default_int_handler, STOP.press)
    }
