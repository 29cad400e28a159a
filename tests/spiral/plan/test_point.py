from __future__ import annotations

import json

import pytest
from example_records import an_exploration, explored_point, measurement

from edgespiral.core.errors import RunFolderError, UsageError
from edgespiral.core.records.comparing.exploration import EXPLORATION
from edgespiral.spiral.plan import Plan, load_plan
from edgespiral.spiral.plan.point import point_values


@pytest.fixture
def folder(tmp_path):
    plan = Plan(model="net.py:net", data="digits", speedup=4.0, pruner="depgraph", seed=3)
    points = explored_point(1, 6.0, 0.1), explored_point(2, 4.0, 0.3)
    exploration = an_exploration(*points, plan=json.loads(plan.model_dump_json(exclude={"out"})))
    (tmp_path / EXPLORATION).write_text(exploration.model_dump_json())
    return tmp_path


def test_a_plan_from_a_point_asks_for_what_was_explored(folder):
    plan = load_plan(None, {"explored": folder, "point": 2})
    assert (plan.model, plan.data, plan.pruner, plan.seed) == (
        "net.py:net",
        "digits",
        "depgraph",
        3,
    )
    assert plan.speedup == 2.0
    assert "max_drop" not in plan.model_fields_set


@pytest.mark.parametrize("keeps_what_was_said", [True, False])
def test_whether_views_are_shown_follows_from_the_epochs_of_the_run(tmp_path, keeps_what_was_said):
    """Not from the exploration's, unless it was said; journals have what it came to there."""

    def started(given, **more):
        plan = Plan(model="net.py:net", data="digits", speedup=4.0, **given)
        recorded = json.loads(plan.model_dump_json()) | {"augment": plan.shows_views}
        said = tuple(plan.model_fields_set) if keeps_what_was_said else None
        exploration = an_exploration(explored_point(1, 6.0, 0.1), plan=recorded, said=said)
        (tmp_path / EXPLORATION).write_text(exploration.model_dump_json())
        return load_plan(None, {"explored": tmp_path, "point": 1, **more})

    assert started({}, epochs=40.0).shows_views
    assert not started({"epochs": 40.0}, epochs=4.0).shows_views
    assert started({"augment": True}, epochs=4.0).shows_views
    assert not started({"augment": False, "epochs": 40.0}).shows_views


def test_what_the_exploration_was_given_is_kept_where_it_is_the_default_too(tmp_path):
    """A batch size that was said is not the one that suits so many samples."""
    given = {"batch_size": 128, "max_drop": 2.0, "epochs": 3.0, "turns": 2}
    plan = Plan(model="net.py:net", data="digits", speedup=4.0, **given)
    recorded = json.loads(plan.model_dump_json()) | {"temperature": 1.0}
    said = tuple(plan.model_fields_set)
    exploration = an_exploration(explored_point(1, 6.0, 0.1), plan=recorded, said=said)
    (tmp_path / EXPLORATION).write_text(exploration.model_dump_json())
    started = load_plan(None, {"explored": tmp_path, "point": 1})
    own = {"explored", "point"}
    assert started.model_fields_set == plan.model_fields_set - {"turns"} | own
    assert (started.batch_size, started.turns, started.temperature) == (128, "auto", 4.0)


def test_what_is_given_beside_it_counts(folder):
    asked = {"explored": folder, "point": 1, "pruner": "auto", "latency_ms": 3.0}
    plan = load_plan(None, asked)
    assert (plan.pruner, plan.latency_ms, plan.speedup) == ("auto", 3.0, None)


def test_of_several_devices_each_has_its_budget(folder):
    """By the plan's own names, and as a latency where the cut may be slower than the teacher."""
    plan = {"model": "net.py:net", "data": "digits", "target": ["a", "boards/b.toml", "c"]}
    speedups = {"a": 2.00004, "b": 0.5769, "c": 1.00004}
    point = explored_point(1, 6.0, 0.1, speedups=speedups)
    exploration = an_exploration(point, plan=plan, teacher=[measurement(8.0)] * 3)
    (folder / EXPLORATION).write_text(exploration.model_dump_json())
    started = load_plan(None, {"explored": folder, "point": 1})
    assert started.budgets == {
        "a": {"speedup": 2.0},
        "boards/b.toml": {"latency_ms": 13.87},
        "c": {"latency_ms": 8.0},
    }


def test_a_point_that_is_not_there_is_named(folder, tmp_path):
    with pytest.raises(UsageError, match="--point: there is no point 9, the last is 2"):
        point_values({"explored": folder, "point": 9})
    with pytest.raises(RunFolderError, match=r"exploration.json: cannot be read"):
        point_values({"explored": tmp_path / "none", "point": 1})
    (folder / EXPLORATION).write_text(json.dumps({"schema_version": 1}))
    with pytest.raises(RunFolderError, match=r"exploration.json: damaged: plan: Field required"):
        point_values({"explored": folder, "point": 1})


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
