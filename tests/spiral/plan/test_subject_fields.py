import math
from pathlib import Path

import pytest
from plans import GOOD, problems_of

from edgespiral.spiral.plan import Plan, load_plan


def test_a_speedup_must_be_above_one() -> None:
    assert problems_of(None, {**GOOD, "speedup": 1.0}) == ["--speedup: must be > 1, is 1.0"]


@pytest.mark.parametrize("size", [0.0, -1.0, math.nan, math.inf])
def test_a_size_that_means_nothing_is_refused(size: float) -> None:
    [problem] = problems_of(None, {"model": "m", "data": "d", "size_mib": size})
    assert problem.startswith("--size-mib: must be ")


@pytest.mark.parametrize("memory", [0.0, -1.0, math.nan, math.inf])
def test_a_memory_that_means_nothing_is_refused(memory: float) -> None:
    [problem] = problems_of(None, {**GOOD, "memory_mib": memory})
    assert problem.startswith("--memory-mib: must be ")


def test_memory_goes_beside_another_budget() -> None:
    [problem] = problems_of(None, {"model": "m", "data": "d", "memory_mib": 80.0})
    assert problem.startswith("--memory-mib: memory_mib goes beside another budget")
    [smallest] = problems_of(None, {"model": "m", "data": "d", "memory_mib": 80.0, "max_drop": 1.0})
    assert smallest == problem
    for beside in ({"latency_ms": 2.0}, {"size_mib": 0.5}, {"parameters": "50%"}):
        plan = load_plan(None, {"model": "m", "data": "d", "memory_mib": 80.0, **beside})
        assert plan.memory_mib == 80.0
        assert not plan.is_quality_goal


def test_a_size_needs_no_latency_and_may_have_one() -> None:
    alone = load_plan(None, {"model": "m", "data": "d", "size_mib": 0.5})
    assert alone.budgets == {"host-cpu": {}}
    assert not alone.is_quality_goal
    assert not alone.is_for_speed
    beside = load_plan(None, {**GOOD, "size_mib": 0.5, "parameters": "50%"})
    assert beside.budgets == {"host-cpu": {"speedup": 2.0}}
    assert beside.is_for_speed


def test_what_may_be_lost_is_a_goal_where_it_is_said() -> None:
    goal = load_plan(None, {"model": "m", "data": "d", "max_drop": 0.5})
    assert goal.is_quality_goal
    assert goal.is_for_speed
    smallest = load_plan(None, {"model": "m", "data": "d", "max_drop": 2.0, "smallest": True})
    assert not smallest.is_for_speed
    assert problems_of(None, {**GOOD, "smallest": True}) == [
        "--smallest: goes with max_drop alone, not with speedup"
    ]


TWO: dict[str, object] = {"model": "m", "data": "d", "target": ["a", "b"]}


def test_several_targets_have_one_budget_or_each_its_own(tmp_path: Path) -> None:
    both = load_plan(None, {**TWO, "speedup": 2})
    assert both.targets == ("a", "b")
    assert [both.budget_of(target) for target in both.targets] == [{"speedup": 2.0}] * 2
    text = 'model = "m"\ndata = "d"\ntarget = ["a", "b"]\nspeedup = 2\n[latency_ms]\nb = 8\n'
    path = tmp_path / "plan.toml"
    path.write_text(text, encoding="utf-8")
    mixed = load_plan(path, {})
    assert [mixed.budget_of(target) for target in mixed.targets] == [
        {"speedup": 2.0},
        {"latency_ms": 8.0},
    ]
    assert Plan.model_validate_json(mixed.model_dump_json()) == mixed


def test_a_list_of_one_target_is_that_target() -> None:
    assert load_plan(None, {**GOOD, "target": ["host-cpu"]}) == load_plan(None, GOOD)
    assert load_plan(None, GOOD).targets == ("host-cpu",)


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"speedup": {"a": 2}}, "exactly one of latency_ms and speedup is needed for b"),
        (
            {"speedup": {"a": 2}, "latency_ms": {"a": 1, "b": 1}},
            "exactly one of latency_ms and speedup is needed for a",
        ),
        ({"speedup": {"a": 2, "b": 2, "c": 3}}, "a budget is given for c, the plan's targets"),
        ({"speedup": {"a": 2, "b": 0.5}}, "--speedup: must be > 1, is 0.5"),
        ({"target": ["a", "a"], "speedup": 2}, "--target: a is named twice"),
        ({"target": [], "speedup": 2}, "--target: names no target"),
        ({"target": [3], "speedup": 2}, "--target: must be a valid string, is 3"),
    ],
)
def test_targets_and_budgets_that_do_not_fit_are_refused(
    values: dict[str, object], problem: str
) -> None:
    [found] = problems_of(None, {**TWO, **values})
    assert problem in found
