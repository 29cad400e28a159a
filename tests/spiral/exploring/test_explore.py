from __future__ import annotations

import pytest

from edgespiral.core.errors import RunFolderError, UsageError
from edgespiral.spiral.exploring.explore import exploring_plan
from edgespiral.spiral.exploring.in_python import explore
from edgespiral.spiral.schedule import LARGEST_STEP

GIVEN = {"model": "resnet20", "data": "digits"}


def test_it_looks_as_far_as_one_turn_goes_if_not_told():
    assert exploring_plan(None, GIVEN).speedup == LARGEST_STEP
    assert exploring_plan(None, {**GIVEN, "latency_ms": 3.0}).speedup is None


def test_the_smallest_model_is_not_explored_for(tmp_path):
    """What is said is why, and not that it does not go with a budget that nobody gave."""
    path = tmp_path / "sm.toml"
    path.write_text("max_drop = 1.0\nsmallest = true\n")
    problem = "smallest: exploring looks at what latencies cost, not for the smallest model"
    with pytest.raises(UsageError, match=f"sm.toml:{problem}; explore the same plan without it"):
        exploring_plan(path, GIVEN)
    with pytest.raises(UsageError, match=f"--{problem}"):
        exploring_plan(None, {**GIVEN, "smallest": True, "max_drop": 1.0})
    assert exploring_plan(path, {**GIVEN, "smallest": False}).speedup == LARGEST_STEP
    with pytest.raises(UsageError, match="goes with max_drop alone, not with latency_ms"):
        exploring_plan(path, {**GIVEN, "latency_ms": 2.0})


@pytest.mark.parametrize("points", [1, 0, 65])
def test_too_few_and_too_many_points_are_refused(teacher, digits, tmp_path, points):
    with pytest.raises(UsageError, match="--points: must be from 2 to 64"):
        explore(teacher, digits, points=points, out=tmp_path / "front")


def test_a_run_that_is_named_has_to_be_one(teacher, digits, tmp_path):
    with pytest.raises(RunFolderError, match="cannot read the journal"):
        explore(teacher, digits, runs=[tmp_path / "none"], out=tmp_path / "front")
    assert not (tmp_path / "front").exists()
