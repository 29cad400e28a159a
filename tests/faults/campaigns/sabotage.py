"""Commands that are sabotaged on purpose: each breaks one invariant, and has to be found out.

A check that cannot fail proves nothing, so every run of the campaigns begins by proving these.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from tests.faults import sandbox
from tests.faults.campaign import Lab, Report
from tests.faults.forkserver import Limits
from tests.faults.invariants import Broken, judge

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from tests.faults.place import Place

LIMITS, OF_A_HANG = Limits(seconds=5), Limits(seconds=2)
LARGE_BYTES = 2 << 30


class Sabotage:
    """Broken invariants that have to be seen."""

    name, short, whole = "sabotage", 14, 14

    def run(self, lab: Lab, number: int, _: Random) -> Report:
        """Sabotage one command; what is broken is that nobody sees it."""
        sabotage, kind = SABOTAGES[number % len(SABOTAGES)]
        place = lab.material.place(f"{self.name}/{number}")
        before = place.tree()

        def sabotaged() -> None:
            sabotage(place)

        limits = OF_A_HANG if sabotage is _hang else LIMITS
        outcome = lab.server.run(("validate", "plan.toml"), place, limits, before=sabotaged)
        kinds = [one.kind for one in judge(outcome, place, before, place.tree(), {0})]
        place.remove()
        seen = any(kind in one for one in kinds) if kind else not kinds
        broken = [] if seen else [Broken(f"nobody sees: {kind or 'all is well'}", ", ".join(kinds))]
        return Report(sabotage.__name__.strip("_"), "edgespiral validate plan.toml", broken)


def _say(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


def _end(code: int) -> NoReturn:
    sys.stdout.flush()
    os._exit(code)


def _nothing(_: Place) -> None:
    """All is well."""


def _traceback(_: Place) -> None:
    _say("Traceback (most recent call last):\n")
    _end(3)


def _internal_error(_: Place) -> None:
    _say("internal error: KeyError: 'x'\n")
    _end(1)


def _unknown_code(_: Place) -> None:
    _say("error: x\n")
    _end(77)


def _two_lines(_: Place) -> None:
    _say("error: x\nerror: y\n")
    _end(3)


def _more_lines(_: Place) -> None:
    _say("error: x\nand more\n")
    _end(3)


def _escape(_: Place) -> None:
    _say("error: \x1b]0;x\x07\n")
    _end(3)


def _touch_home(place: Place) -> None:
    (place.home / "precious").write_text("spoilt")


def _leave_in_temporary(place: Place) -> None:
    (place.temporary / "edgespiral-abcdefgh").mkdir()


def _leave_a_process(_: Place) -> None:
    subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"])


def _hang(_: Place) -> None:
    time.sleep(600)


def _crash(_: Place) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def _take_memory(_: Place) -> None:
    held = bytearray(LARGE_BYTES)
    held[::4096] = b"x" * len(held[::4096])


def _reach_out(_: Place) -> None:
    """Nothing outside of the scratch can be written to, which is the sandbox's own promise."""
    for path in (sandbox.ROOT / "README.md", Path("/etc/hosts"), Path("/usr/bin/env")):
        try:
            path.open("r+b").close()
        except OSError:
            continue
        _say(f"error: {path} can be written to\n")
        _end(77)


SABOTAGES: tuple[tuple[Callable[[Place], None], str], ...] = (
    (_nothing, ""),
    (_reach_out, ""),
    (_traceback, "a traceback"),
    (_internal_error, "an internal error: KeyError"),
    (_unknown_code, "exit code 77 is not documented"),
    (_two_lines, "2 error lines"),
    (_more_lines, "the error is more than one line"),
    (_escape, "control characters"),
    (_touch_home, "was changed that is not its own"),
    (_leave_in_temporary, "is left in TMPDIR"),
    (_leave_a_process, "a process is left"),
    (_hang, "it hangs"),
    (_crash, "it is killed by SIGSEGV"),
    (_take_memory, "memory"),
)
