"""A run of a sweep as a command of its own: its plan's file, its words, what it says at its end."""

from __future__ import annotations

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
LOG_END_BYTES = 4000


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
    """What a run failed by that ended with `code`; None where it came to an outcome."""
    return None if code in OUTCOMES else Problem(_last_error(log, code), code)


def _last_error(log: Path, code: int) -> str:
    """The line that a run ended with, or its exit code where it left none."""
    text = log.read_bytes()[-LOG_END_BYTES:].decode("utf-8", "replace") if log.is_file() else ""
    lines: Sequence[str] = [line for line in text.splitlines() if line.startswith("error: ")]
    text = lines[-1].removeprefix("error: ") if lines else f"ended with code {code}, see {log}"
    return printable(text)
