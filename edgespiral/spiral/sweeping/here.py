"""Runs of a sweep as processes of this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgespiral.core.system.files import emptied
from edgespiral.measure.transports.one_at_a_time import SHARED as SHARED_DEVICES
from edgespiral.spiral.sweeping.command import log_file, plan_file, problem_of, words_of
from edgespiral.spiral.sweeping.pool import Pool

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from edgespiral.spiral.sweeping.command import Problem
    from edgespiral.spiral.sweeping.plan import SweepRun


@dataclass(frozen=True)
class Here:
    """A pool of `jobs` processes, whose runs have their folders in `out`."""

    out: Path
    jobs: int

    def run(self, runs: Sequence[SweepRun]) -> Iterator[tuple[SweepRun, Problem | None]]:
        """Yield each run as it ends, with its problem if it failed."""
        for run, code in Pool(self._started, self.jobs).run(runs):
            yield run, problem_of(code, log_file(run, self.out))

    def _started(self, run: SweepRun) -> subprocess.Popen[bytes]:
        command = [sys.executable, *words_of(plan_file(run, self.out))]
        with emptied(log_file(run, self.out)) as log:
            return subprocess.Popen(  # noqa: S603 (the command is this package's own)
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, SHARED_DEVICES: "1"},
            )
