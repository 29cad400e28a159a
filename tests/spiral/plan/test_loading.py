from __future__ import annotations

import pytest

from edgespiral.core.errors import UsageError
from edgespiral.spiral.plan import load_plan

GIVEN = {"model": "resnet20", "data": "digits"}


def test_a_default_holds_where_nothing_else_is_said(tmp_path):
    file = tmp_path / "plan.toml"
    file.write_text("epochs = 2.0\n")
    plan = load_plan(file, GIVEN, {"speedup": 4.0, "epochs": 8.0, "alpha": 0.5})
    assert (plan.speedup, plan.epochs, plan.alpha) == (4.0, 2.0, 0.5)


def test_a_budget_of_either_kind_takes_the_place_of_the_default_one():
    plan = load_plan(None, {**GIVEN, "latency_ms": 2.0}, {"speedup": 4.0})
    assert (plan.speedup, plan.latency_ms) == (None, 2.0)
    with pytest.raises(UsageError, match="a goal is needed"):
        load_plan(None, GIVEN)
