"""SIGTERM and SIGHUP end a command as Ctrl-C does: by an exception, so that it cleans up."""

from __future__ import annotations

import os
import signal
import sys
import time
from threading import Timer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SHELL_SIGNAL_BASE = 128
# What sends a signal twice (a terminal and a wrapper, a group and its leader) does so at once. The
# second would break off the cleaning up that the first began.
AGAIN_S = 3
# What Python drops, as nothing can be raised from a destructor, is raised again after this.
RETRY_S = 0.05


class Stop:
    """Turns signals into KeyboardInterrupt, and knows what the process ends with."""

    def __init__(self) -> None:
        self._number: int | None = None
        self._raised_at = float("-inf")

    def listen(self) -> None:
        """Take the signals over; one that is ignored (nohup, a job in the background) stays so."""
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self.press)
        sys.unraisablehook = self.hear_dropped

    def press(self, number: int, _frame: object) -> None:
        """Hear a signal.

        Raises:
            KeyboardInterrupt: unless the one before was only a moment ago.
        """
        self.note(number)
        now_s = time.monotonic()
        if now_s - self._raised_at >= AGAIN_S:
            self._raised_at = now_s
            raise KeyboardInterrupt

    def hear_dropped(self, dropped: UnraisableHookArgs) -> None:
        """Raise again, without a word, what a signal raised where nothing can be raised.

        Destructors and callbacks of the garbage collector are such places: Python prints a
        traceback there and goes on, and the signal would be lost.
        """
        if not isinstance(dropped.exc_value, KeyboardInterrupt):
            sys.__unraisablehook__(dropped)
            return
        self._raised_at = float("-inf")
        number = signal.SIGINT if self._number is None else self._number
        again = Timer(RETRY_S, os.kill, (os.getpid(), number))
        again.daemon = True
        again.start()

    def note(self, number: int) -> None:
        """Keep the first signal, which the exit code tells."""
        if self._number is None:
            self._number = number

    def deafen(self) -> None:
        """Hear nothing more: all that is left is to exit, and with the code of the first signal."""
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)

    @property
    def exit_code(self) -> int | None:
        """That of a process which a signal ended; None where there was none."""
        return None if self._number is None else SHELL_SIGNAL_BASE + self._number

    @property
    def name(self) -> str:
        """The signal's name; empty where there was none."""
        return "" if self._number is None else signal.Signals(self._number).name


STOP = Stop()
