"""What `edgespiral sweep` does: many runs of one teacher, as few things twice as can be."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import tomlkit
from pydantic import ValidationError

from edgespiral.core.errors import ExitCode, RunFolderError
from edgespiral.core.records.comparing.sweep import Sweep
from edgespiral.core.system.files import emptied, make_folder, read_bytes, write_text
from edgespiral.core.system.lock import locked
from edgespiral.core.text import printable
from edgespiral.measure.transports.one_at_a_time import SHARED as SHARED_DEVICES
from edgespiral.spiral.sweeping.plan import load_sweep, runs_of
from edgespiral.spiral.sweeping.pool import Pool
from edgespiral.spiral.sweeping.result import RECORD, EndedRuns, Problem, sweep_of, write_sweep

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edgespiral.core.listener import Listener
    from edgespiral.spiral.sweeping.plan import SweepPlan, SweepRun

# What a run may end with that has come to an outcome.
OUTCOMES = (ExitCode.OK, ExitCode.ALREADY_MET, ExitCode.UNREACHABLE, ExitCode.SCORE_FLOOR)
SHARED = "shared"
LOG_END_BYTES = 4000


def run_sweep(
    path: Path, *, out: Path, jobs: int | None, listener: Listener, command: str
) -> Sweep:
    """Do every run of a sweep that has not ended yet, and write what all of them came to.

    Args:
        path: the sweep's plan.
        out: the sweep's folder, made if missing; each run has one in it.
        jobs: how many runs go on at once, in place of what the plan says.
        listener: hears of each run that ends.
        command: that asked for it, quoted for a shell.

    Raises:
        UsageError: the plan is wrong.
        RunFolderError: another sweep works in `out`, it holds one of another plan or such runs, or
            cannot be written to.
    """
    plan = load_sweep(path)
    runs = runs_of(plan, str(path))
    make_folder(out)
    with locked(out):
        _require_same(plan, out)
        problems: dict[str, Problem] = {}
        ended = EndedRuns(plan, out)
        write_sweep(sweep_of(plan, runs, ended, problems, command), out)
        due = [run for run in runs if ended.of(run) is None]
        listener.say(f"runs: {len(runs)}, ended before: {len(runs) - len(due)}")
        pool: Pool[SweepRun] = Pool(lambda run: _started(run, out), jobs or plan.jobs)
        for done, (run, code) in enumerate(pool.run(due), start=1):
            if code not in OUTCOMES:
                problems[run.name] = Problem(_last_error(_log(run, out), code), code)
            sweep = sweep_of(plan, runs, ended, problems, command)
            write_sweep(sweep, out)
            told = problems[run.name].text if run.name in problems else "ended"
            listener.say(f"  {done} of {len(due)}: {run.name}: {told}")
        return sweep_of(plan, runs, ended, problems, command)


def _require_same(plan: SweepPlan, out: Path) -> None:
    """Refuse a folder whose runs have something else in common; more of them may be asked for."""
    path = out / RECORD
    if not path.is_file():
        return
    try:
        earlier = Sweep.model_validate_json(read_bytes(path))
    except (OSError, ValidationError) as error:
        raise RunFolderError("is damaged", where=str(path), hint="delete it") from error
    if earlier.plan != plan.plan or list(earlier.vary) != list(plan.vary):
        raise RunFolderError(
            "this folder holds a sweep of another plan",
            where=str(out),
            hint="choose another --out; values may be added to what it varies, and nothing else",
        )


def _started(run: SweepRun, out: Path) -> subprocess.Popen[bytes]:
    """The process of a run, which goes on with what an earlier one has begun."""
    written = run.plan.model_copy(update={"shared": out / SHARED, "out": out / run.name})
    fields = written.model_dump(mode="json", exclude_none=True, exclude_unset=True)
    file = out / f"{run.name}.toml"
    write_text(file, tomlkit.dumps(fields))
    command = [sys.executable, "-m", "edgespiral", "compress", "--config", str(file), "--resume"]
    with emptied(_log(run, out)) as log:
        return subprocess.Popen(  # noqa: S603 (the command is this package's own)
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, SHARED_DEVICES: "1"},
        )


def _log(run: SweepRun, out: Path) -> Path:
    return out / f"{run.name}.log"


def _last_error(log: Path, code: int) -> str:
    """The line that a run ended with, or its exit code where it left none."""
    try:
        text = read_bytes(log)[-LOG_END_BYTES:].decode("utf-8", "replace")
    except OSError:
        text = ""
    lines: Sequence[str] = [line for line in text.splitlines() if line.startswith("error: ")]
    text = lines[-1].removeprefix("error: ") if lines else f"ended with code {code}, see {log}"
    return printable(text)
