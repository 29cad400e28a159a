from __future__ import annotations

import json

import pytest

from edgespiral.core.errors import RunFolderError, UsageError
from edgespiral.spiral.plan import Plan, load_plan
from edgespiral.spiral.plan.point import point_values


def test_a_plan_from_a_point_asks_for_what_was_explored(explored):
    point = explored.exploration.points[1]
    plan = load_plan(None, {"explored": explored.folder, "point": 2})
    assert plan.target == explored.exploration.plan["target"]
    assert plan.pruner == "depgraph"
    assert plan.speedup == pytest.approx(point.speedups["quick"], rel=1e-3)
    assert "max_drop" not in plan.model_fields_set


def test_what_is_given_beside_it_counts(explored):
    asked = {"explored": explored.folder, "point": 1, "pruner": "auto", "latency_ms": 3.0}
    plan = load_plan(None, asked)
    assert (plan.pruner, plan.latency_ms, plan.speedup) == ("auto", 3.0, None)


def test_a_point_that_is_not_there_is_named(explored, tmp_path):
    with pytest.raises(UsageError, match="--point: there is no point 9, the last is 3"):
        point_values({"explored": explored.folder, "point": 9})
    with pytest.raises(RunFolderError, match=r"exploration.json: cannot be read"):
        point_values({"explored": tmp_path, "point": 1})
    (tmp_path / "exploration.json").write_text(json.dumps({"schema_version": 1}))
    with pytest.raises(RunFolderError, match=r"exploration.json: damaged: plan: Field required"):
        point_values({"explored": tmp_path, "point": 1})


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"explored": "runs/x"}, "explored and point go together"),
        ({"point": 1}, "explored and point go together"),
        ({"explored": "runs/x", "point": 1, "turns": 2}, "has one turn, not 2"),
        ({"explored": "runs/x", "point": 0}, "point"),
    ],
)
def test_half_a_point_is_refused(fields, problem):
    with pytest.raises(UsageError, match=problem):
        Plan(speedup=2.0, **fields)
