"""The values of a plan that starts from a point of an exploration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from edgespiral.core.records.comparing.exploration import read_exploration
from edgespiral.spiral.plan.fields import Plan
from edgespiral.spiral.plan.goals import BUDGETS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgespiral.core.records.comparing.exploration import Point

# A run is judged by its own.
OWN = (*BUDGETS, "explored", "point", "out")


def point_values(values: Mapping[str, object]) -> dict[str, object]:
    """What a plan is like that starts where `values` say; empty where it starts from the teacher.

    These are the exploration's own values where they were not the defaults, and the point's budget.

    Raises:
        RunFolderError: there is no exploration in that folder.
        UsageError: it has no such point.
    """
    folder, number = values.get("explored"), values.get("point")
    if not isinstance(folder, str | Path) or not isinstance(number, int):
        return {}  # validation tells of a wrong one
    exploration = read_exploration(Path(folder))
    point = exploration.point(number)
    return {**_not_default(exploration.plan), "speedup": _budget(point)}


def _not_default(plan: Mapping[str, object]) -> dict[str, object]:
    defaults = {name: field.default for name, field in Plan.model_fields.items()}
    return {
        name: value
        for name, value in plan.items()
        if name not in OWN and value != json.loads(json.dumps(defaults.get(name), default=str))
    }


def _budget(point: Point) -> float | dict[str, float]:
    """As a person would write it: what a turn lands at has some room below."""
    rounded = {target: float(f"{speedup:.4g}") for target, speedup in point.speedups.items()}
    return next(iter(rounded.values())) if len(rounded) == 1 else rounded
