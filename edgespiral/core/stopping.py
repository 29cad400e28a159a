"""SIGTERM and SIGHUP end a command as Ctrl-C does: by an exception, so that it cleans up."""

from __future__ import annotations

import signal
import time

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SHELL_SIGNAL_BASE = 128
# What sends a signal twice (a terminal and a wrapper, a group and its leader) does so at once. The
# second would break off the cleaning up that the first began.
AGAIN_S = 3


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
