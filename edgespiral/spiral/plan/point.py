"""The values of a plan that starts from a point of an exploration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from edgespiral.core.records.comparing.exploration import read_exploration
from edgespiral.spiral.plan.fields import Plan
from edgespiral.spiral.plan.goals import BUDGETS
from edgespiral.spiral.plan.training_fields import VIEWS_FROM_EPOCHS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgespiral.core.records.comparing.exploration import Exploration, Point
    from edgespiral.core.records.measurement import Measurement

# A run is judged by its own, and has the one turn that was explored.
OWN = (*BUDGETS, "explored", "point", "turns", "out")


def point_values(values: Mapping[str, object]) -> dict[str, object]:
    """What a plan is like that starts where `values` say; empty where it starts from the teacher.

    These are what the exploration was given, and the point's budget.

    Raises:
        RunFolderError: there is no exploration in that folder.
        UsageError: it has no such point.
    """
    folder, number = values.get("explored"), values.get("point")
    if not isinstance(folder, str | Path) or not isinstance(number, int):
        return {}  # validation tells of a wrong one
    exploration = read_exploration(Path(folder))
    point = exploration.point(number)
    plan, said = exploration.plan, exploration.said
    asked = (
        _not_default(plan) if said is None else {name: plan[name] for name in said if name in plan}
    )
    own = {name: value for name, value in asked.items() if name not in OWN}
    return {**own, **_budgets(exploration, point)}


def _not_default(plan: Mapping[str, object]) -> dict[str, object]:
    """What was asked, as far as explorations of before tell: they have not kept what was given.

    They have views as their epochs made them, which a run of others is to settle anew.
    """
    defaults = {name: field.default for name, field in Plan.model_fields.items()}
    epochs = plan.get("epochs", defaults["epochs"])
    defaults["augment"] = isinstance(epochs, int | float) and epochs >= VIEWS_FROM_EPOCHS
    return {
        name: value
        for name, value in plan.items()
        if value != json.loads(json.dumps(defaults.get(name), default=str))
    }


def _budgets(exploration: Exploration, point: Point) -> dict[str, object]:
    """As a person would write them: what a turn lands at has some room below.

    Where another target's budget was further off, the same share of a target's own may leave it
    slower than its teacher, which no speed-up says, and a latency does.
    """
    named = exploration.plan.get("target", Plan.model_fields["target"].default)
    targets = [str(name) for name in (named if isinstance(named, list) else [named])]
    budgets: dict[str, dict[str, float]] = {}
    # A target that the plan has by its file is in records by the name that the file gives it.
    shares = zip(targets, point.speedups.values(), exploration.teacher, strict=False)
    for target, speedup, teacher in shares:
        is_faster = _rounded(speedup) > 1
        kind, value = ("speedup", speedup) if is_faster else ("latency_ms", _ms(teacher, speedup))
        budgets.setdefault(kind, {})[target] = _rounded(value)
    if len(targets) > 1:
        return dict(budgets)
    return {kind: next(iter(values.values())) for kind, values in budgets.items()}


def _ms(teacher: Measurement, speedup: float) -> float:
    return teacher.stats.p50_ms / speedup


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
