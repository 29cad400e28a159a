"""The real command under strace: it opens no connection to anywhere, name servers included."""

from __future__ import annotations

import os
import re
import shutil
import sys
from typing import TYPE_CHECKING

from tests.faults import sandbox
from tests.faults.campaign import Lab, Report
from tests.faults.forkserver import Limits
from tests.faults.invariants import Broken, judge

if TYPE_CHECKING:
    from random import Random

LIMITS = Limits(seconds=300)
REACHED = re.compile(r"(?:connect|sendto|sendmsg|sendmmsg)\(.*sa_family=AF_INET6?,.*")
COMMANDS: tuple[tuple[str, ...], ...] = (
    ("measure", "net.onnx", "--target", "./tiny.toml"),
    ("calibrate", "net.onnx", "--data", "digits", "--recipe", "few.toml", "--out", "out/m.onnx"),
    ("train", "net.py:make", "--data", "digits", "--epochs", "1", "--out", "out"),
    ("compress", "--config", "plan.toml", "--out", "out"),
)


class Sockets:
    """Connections that nobody asked for."""

    name, short, whole = "sockets", 1, 4

    def run(self, lab: Lab, number: int, _: Random) -> Report:
        """Trace one command that has no business with a network."""
        strace = shutil.which("strace")
        if strace is None:
            return Report("sockets", faults=0, skipped="strace is missing")
        argv = COMMANDS[number % len(COMMANDS)]
        place = lab.material.place(f"{self.name}/{number}")
        out, log = place.cwd / "out", place.root / "strace"
        out.mkdir()
        traced = [strace, "-f", "-qq", "-e", "trace=network", "-o", str(log), sys.executable]

        def trace() -> None:
            os.environ["PYTHONPATH"] = str(sandbox.ROOT)
            os.execv(strace, [*traced, "-m", "edgespiral", *argv])

        before = place.tree(lambda path: path == out or out in path.parents)
        outcome = lab.server.run(argv, place, LIMITS, before=trace)
        after = place.tree(lambda path: path == out or out in path.parents)
        broken = judge(outcome, place, before, after, {0, 12})
        lines = log.read_text(errors="replace").splitlines()
        if not lines:
            broken.append(Broken("nothing was traced", ""))
        reached = [line for line in lines if REACHED.search(line)]
        broken += [Broken("a connection is opened", line[:200]) for line in reached[:1]]
        place.remove()
        return Report(argv[0], f"edgespiral {' '.join(argv)}", broken)
