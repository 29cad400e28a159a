"""How a command on a device ended: what transports hand over and runtimes read."""

from __future__ import annotations

import signal
from dataclasses import dataclass

TAIL_CHARACTERS = 300
SHELL_SIGNAL_BASE = 128


@dataclass(frozen=True)
class Completed:
    """A command's exit code (negative: killed by that signal) and its output."""

    exit_code: int
    stdout: str
    stderr: str

    def failure(self) -> str:
        """In words, how a command ended that did not give its answer."""
        code = self.exit_code
        number = -code if code < 0 else code - SHELL_SIGNAL_BASE
        if number in {int(listed) for listed in signal.Signals}:
            ending = f"was killed by {signal.Signals(number).name}"
        else:
            ending = f"failed with exit code {code}" if code else "broke off in its answer"
        # Of a traceback, the line that says what went wrong.
        is_trace = "Traceback (most recent call last)" in self.stderr
        tail = last_words(self.stderr.strip().splitlines()[-1] if is_trace else self.stderr)
        return f"{ending}: {tail}" if tail else ending


def last_words(text: str) -> str:
    """The end of an output, on one line; empty where there is none."""
    line = " ".join(text.split())
    return line if len(line) <= TAIL_CHARACTERS else f"... {line[-TAIL_CHARACTERS:]}"
