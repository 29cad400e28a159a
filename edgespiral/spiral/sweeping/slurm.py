"""A sweep as an array of SLURM jobs."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edgespiral.core.errors import UsageError
from edgespiral.core.system.files import write_text
from edgespiral.core.text import is_printable
from edgespiral.measure.transports.one_at_a_time import SHARED as SHARED_DEVICES
from edgespiral.spiral.sweeping.command import log_file, plan_file, words_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgespiral.spiral.sweeping.plan import SweepRun

SCRIPT = "sweep.sbatch"
TASK = "SLURM_ARRAY_TASK_ID"


def write_script(
    runs: Sequence[SweepRun], out: Path, *, jobs: int | None, options: Sequence[str]
) -> Path:
    """Write plans, and the script whose tasks are `runs`; its path.

    Args:
        runs: that have not ended yet, at least one.
        out: the sweep's folder, which every node sees.
        jobs: how many tasks SLURM may run at once; None: as many as it can.
        options: of `sbatch`, such as `--partition=gpu`.

    Raises:
        UsageError: a path has a line break or the like, with which a line would be two.
    """
    path = out / SCRIPT
    for place in (out.resolve(), Path.cwd()):
        if not is_printable(str(place)):
            what, hint = "cannot be written into a script", "name a folder without such characters"
            raise UsageError(what, where=str(place), hint=hint)
    commands = [_command(run, out.resolve()) for run in runs]
    most = "" if jobs is None else f"%{jobs}"
    directives = [
        "--job-name=edgespiral",
        f"--array=0-{len(runs) - 1}{most}",
        # To SLURM a percent sign begins what it fills in.
        f"--output={shlex.quote(str(out.resolve()).replace('%', '%%') + '/slurm-%a.log')}",
        *options,
    ]
    lines = [
        "#!/bin/bash",
        "# Written by `edgespiral sweep --slurm`. The same command again writes it anew, with what",
        "# has not ended by then, and the page of what has.",
        *(f"#SBATCH {option}" for option in directives),
        "set -eu",
        f"cd {shlex.quote(str(Path.cwd()))}",
        f"export {SHARED_DEVICES}=1",
        f'case "${TASK}" in',
        *(f"{number}) {command} ;;" for number, command in enumerate(commands)),
        f'*) echo "no run has the number ${TASK}" >&2; exit 2 ;;',
        "esac",
    ]
    write_text(path, "\n".join(lines) + "\n")
    return path


def _command(run: SweepRun, out: Path) -> str:
    words = [sys.executable, *words_of(plan_file(run, out))]
    return f"exec {shlex.join(words)} >{shlex.quote(str(log_file(run, out)))} 2>&1"
