"""A run of a sweep as a command of its own: its plan's file, its words, what it says at its end."""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING, NamedTuple

import tomlkit

from edgespiral.core.errors import ExitCode
from edgespiral.core.system.files import require_plain, write_text
from edgespiral.core.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edgespiral.spiral.sweeping.plan import SweepRun

# What a run may end with that has come to an outcome.
OUTCOMES = (ExitCode.OK, ExitCode.ALREADY_MET, ExitCode.UNREACHABLE, ExitCode.SCORE_FLOOR)
SHARED = "shared"
# Of a run whose process is gone without a word: it was lost, as one of a training may be.
LOST = ExitCode.TRAINING
# Longer than the longest line that a command ends with.
LOG_END_BYTES = 40_000
ERROR = re.compile("(internal )?error: ")


class Problem(NamedTuple):
    """Why a run failed: the line that it ended with, and its exit code."""

    text: str
    code: int


def plan_file(run: SweepRun, out: Path) -> Path:
    """The file of a run's plan, which is written; the run shares what runs of `out` share."""
    written = run.plan.model_copy(update={"shared": out / SHARED, "out": out / run.name})
    fields = written.model_dump(mode="json", exclude_none=True, exclude_unset=True)
    file = out / f"{run.name}.toml"
    write_text(file, tomlkit.dumps(fields))
    return file


def log_file(run: SweepRun, out: Path) -> Path:
    """What a run prints goes here.

    Raises:
        RunFolderError: a link, a folder, a pipe or a device is in its place.
    """
    path = out / f"{run.name}.log"
    require_plain(path)
    return path


def words_of(file: Path) -> list[str]:
    """A run's command, without the interpreter; it goes on with what an earlier one has begun."""
    return ["-m", "edgespiral", "compress", "--config", str(file), "--resume"]


def problem_of(code: int, log: Path) -> Problem | None:
    """What a run failed by that ended with `code`; None where it came to an outcome.

    Args:
        code: of its process; below 0 that of the signal which ended it.
        log: what it printed.
    """
    if code < 0:
        # Out of memory, for one; no exit code of ours says that nothing could be said.
        name = _signal_name(-code)
        return Problem(f"its process was ended by {name}, see {printable(str(log))}", LOST)
    return None if code in OUTCOMES else Problem(_last_error(log, code), code)


def unfinished(folder: Path) -> Problem:
    """That of a run which ended well, and of which its folder has no outcome."""
    what = f"it ended without an error, and left no outcome in {folder}"
    return Problem(printable(f"{what}: is that folder on a file system that its machine shares?"),
                   ExitCode.RUN_FOLDER)  # fmt: skip


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _last_error(log: Path, code: int) -> str:
    """The line that a run ended with, or its exit code where it left none."""
    lines: Sequence[str] = [line for line in _end_of(log).splitlines() if ERROR.match(line)]
    text = ERROR.sub("", lines[-1]) if lines else f"ended with code {code}, see {log}"
    return printable(text)


def _end_of(log: Path) -> str:
    """The last lines of a log; nothing of one that is gone or cannot be read."""
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, log.stat().st_size - LOG_END_BYTES))
            return stream.read(LOG_END_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
