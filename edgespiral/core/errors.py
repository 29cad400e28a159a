"""The one error tree. Each error says what is wrong, where, and what to do, on one line."""

from __future__ import annotations

import difflib
from enum import IntEnum
from typing import TYPE_CHECKING

from edgespiral.core.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SHOWN = 3
SHOWN_NAMES = 12


class ExitCode(IntEnum):
    """Process exit codes of `edgespiral`, documented in docs/exit-codes.md."""

    OK = 0
    INTERNAL = 1
    USAGE = 2
    MODEL = 3
    DATA = 4
    TARGET = 5
    MEASUREMENT = 6
    EXPORT = 7
    RUN_FOLDER = 8
    TRAINING = 9
    ALREADY_MET = 10
    UNREACHABLE = 11
    SCORE_FLOOR = 12
    INTERRUPTED = 130
    OUTPUT_CLOSED = 141


class GateCode(IntEnum):
    """Exit codes of `edgespiral bench`, whose verbs have these and 130 alone."""

    PASS = 0
    REGRESSION = 1
    ERROR = 2
    UNDECIDED = 3


def first_few(names: Sequence[str]) -> str:
    """The first three, and how many more there are, so that a message stays a line."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


class EdgeSpiralError(Exception):
    """Base of every error that a user can cause or mend.

    Args:
        what: what is wrong, without a trailing full stop.
        where: the place, as `file:key`, a flag or a layer name.
        hint: what to do about it.

    Attributes:
        exit_code: of the command where it ends with this error (docs/exit-codes.md).

    Example:
        >>> import edgespiral
        >>> try:
        ...     edgespiral.load_profile("host-cpus")
        ... except edgespiral.EdgeSpiralError as error:
        ...     print(int(error.exit_code), error.what)
        2 unknown target 'host-cpus'
    """

    exit_code = ExitCode.INTERNAL
    # Of docs/, with an anchor where a part of it helps; the command line links to it.
    page = "exit-codes.md"

    def __init__(self, what: str, *, where: str | None = None, hint: str | None = None) -> None:
        self.what = what
        self.where = where
        self.hint = hint
        super().__init__(what)

    def __str__(self) -> str:
        """All of it on one line, whatever is in the names and words that it was made of."""
        place = f"{self.where}: " if self.where else ""
        advice = f"; {self.hint}" if self.hint else ""
        return printable(f"{place}{self.what}{advice}")


class UsageError(EdgeSpiralError):
    """A flag, a plan or a profile is wrong."""

    exit_code = ExitCode.USAGE
    page = "commands.md"


class MissingExtraError(UsageError):
    """A feature needs an optional dependency that is not installed."""

    page = "installing.md#extras"

    def __init__(self, feature: str, extra: str, *, hint: str | None = None) -> None:
        super().__init__(
            f"{feature} needs a package that is not installed",
            hint=hint or f"install it with: pip install 'edgespiral[{extra}]'",
        )


class BrokenInstallError(UsageError):
    """A library that is installed cannot be loaded, or does not fit another."""

    page = "installing.md"


class ModelError(EdgeSpiralError):
    """The model cannot be built, traced, loaded or cut."""

    exit_code = ExitCode.MODEL
    page = "architectures.md"


class NothingToCutError(ModelError):
    """The model has no channels that could go."""

    page = "architectures.md#why-not"


class DataError(EdgeSpiralError):
    """The data set is missing, too small or of the wrong shape."""

    exit_code = ExitCode.DATA
    page = "data.md"


class TargetError(EdgeSpiralError):
    """The target device or its runtime cannot be used."""

    exit_code = ExitCode.TARGET
    page = "targets.md#checking-a-target"


class MeasurementError(EdgeSpiralError):
    """A measurement failed or is not to be trusted."""

    exit_code = ExitCode.MEASUREMENT
    page = "measuring.md"


class UndecidedError(MeasurementError):
    """Time ran out before a measurement was clear of what it was compared with."""

    page = "measuring.md#how-repeatable-it-is"


class ExportError(EdgeSpiralError):
    """The model cannot be exported, or the export differs from PyTorch."""

    exit_code = ExitCode.EXPORT
    page = "artefacts.md#what-is-judged-is-what-ships"


class RunFolderError(EdgeSpiralError):
    """The run folder cannot be used: another plan's, read-only, full or damaged."""

    exit_code = ExitCode.RUN_FOLDER
    page = "artefacts.md"


class TrainingError(EdgeSpiralError):
    """Training diverged or cannot go on."""

    exit_code = ExitCode.TRAINING
    page = "training.md"


class DivergedError(TrainingError):
    """The loss or a weight is no longer finite."""

    page = "training.md#the-rate-finds-itself"


class ProcessLostError(TrainingError):
    """Another process of a run of several is gone, or does not answer."""

    page = "guides/several-gpus.md#when-something-is-lost"


def unknown_name(kind: str, name: str, choices: Iterable[str]) -> UsageError:
    """The error for a name that nothing goes by, with the nearest names that exist."""
    names = sorted(choices)
    near = difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.5)
    more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    listed = f"known: {', '.join(names[:SHOWN_NAMES])}{more}"
    hint = f"did you mean {' or '.join(near)}?" if near else listed
    return UsageError(f"unknown {kind} {name!r}", hint=hint)
