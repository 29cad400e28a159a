"""A run's first cut, where it is one that was explored before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.core.errors import UsageError
from edgespiral.core.records.comparing.exploration import read_exploration
from edgespiral.core.records.widths import Widths

if TYPE_CHECKING:
    from pathlib import Path

    from edgespiral.spiral.context import Parent
    from edgespiral.spiral.planning.planner import Planner
    from edgespiral.spiral.planning.search import Planned

FLAG = "--explored"


def check_explored(folder: Path | None, teacher_sha256: str) -> None:
    """Refuse an exploration of another teacher.

    Args:
        folder: that a run is to start from, if it is.
        teacher_sha256: of the run's own teacher.

    Raises:
        RunFolderError: it cannot be read.
        UsageError: it is of other weights.
    """
    if folder is not None and read_exploration(folder).teacher_sha256 != teacher_sha256:
        raise UsageError(
            f"what was explored in {folder} is another teacher than this one",
            where=FLAG,
            hint="name the model and the weights that were explored",
        )


def explored_cut(folder: Path, number: int, planner: Planner, parent: Parent, turn: int) -> Planned:
    """The cut of a point, measured anew.

    Raises:
        UsageError: it is none that this run could make.
        MeasurementError, TargetError: the device did not answer.
    """
    point = read_exploration(folder).point(number)
    planned = planner.measured_at(turn, parent.source, parent.importance, Widths(point.widths))
    if planned is None:
        raise UsageError(
            f"point {number} has widths that this run cannot cut to",
            where=FLAG,
            hint="run it on the target that was explored, or explore this one",
        )
    return planned
