import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plans import GOOD, problems_of

from edgespiral.core.errors import UsageError
from edgespiral.spiral.plan import Plan, load_plan, plan_sha256
from edgespiral.spiral.plan.goals import NO_GOAL


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "plan.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_and_flags_give_the_same_plan(tmp_path: Path) -> None:
    path = write(tmp_path, 'schema = 1\nmodel = "resnet20"\ndata = "digits"\nspeedup = 2\n')
    assert load_plan(path, {}) == load_plan(None, GOOD)


def test_flags_that_are_given_win_over_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, 'model = "a"\ndata = "d"\nspeedup = 2\nepochs = 3\nseed = 7\n')
    plan = load_plan(path, {"model": "b", "epochs": 5.0, "seed": None})
    assert (plan.model, plan.epochs, plan.seed) == ("b", 5.0, 7)


@pytest.mark.parametrize("budget", [{"latency_ms": 1.5}, {"speedup": 3.0}])
def test_a_budget_flag_takes_the_place_of_the_file_s_budget(
    tmp_path: Path, budget: dict[str, object]
) -> None:
    path = write(tmp_path, 'model = "a"\ndata = "d"\nspeedup = 2\n')
    plan = load_plan(path, budget)
    given = {"latency_ms": plan.latency_ms, "speedup": plan.speedup}
    assert {key: value for key, value in given.items() if value is not None} == budget


def test_every_problem_is_in_one_error_with_its_place(tmp_path: Path) -> None:
    text = """
        model = 3
        latency_ms = -1
        turns = 0
        criterion = "fishr"
        pruner = "dep-graph"
        epoch = 3
        batch_size = 1.5
    """
    path = write(tmp_path, text)
    assert problems_of(path, {"alpha": 7.0}) == [
        f"{path}:model: must be a valid string, is 3",
        f"{path}:data: is missing",
        f"{path}:latency_ms: must be > 0, is -1",
        f'{path}:turns: must be a whole number from 1 up or "auto", is 0',
        f"{path}:criterion: unknown criterion 'fishr', did you mean fisher?",
        f"{path}:pruner: unknown pruner 'dep-graph', did you mean depgraph?",
        "--alpha: must be <= 1, is 7.0",
        f"{path}:batch_size: must be a valid integer, is 1.5",
        f"{path}:epoch: unknown key 'epoch', did you mean epochs or teacher?",
    ]


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "0", "-2", '"2"', "true"])
@pytest.mark.parametrize("key", ["latency_ms", "speedup", "max_drop", "epochs", "temperature"])
def test_numbers_that_mean_nothing_are_refused(tmp_path: Path, key: str, number: str) -> None:
    values = {"model": '"m"', "data": '"d"', "speedup": "2"}
    if key == "latency_ms":
        del values["speedup"]
    lines = [f"{name} = {value}" for name, value in {**values, key: number}.items()]
    path = write(tmp_path, "\n".join(lines))
    [problem] = problems_of(path, {})
    assert problem.startswith(f"{path}:{key}: must be ")


@pytest.mark.parametrize(
    ("budgets", "rule"),
    [
        ({}, NO_GOAL),
        ({"latency_ms": 1.0, "speedup": 2.0}, "exactly one of latency_ms and speedup is needed"),
    ],
)
def test_a_goal_is_needed_and_other_problems_are_told_as_well(
    tmp_path: Path, budgets: dict[str, object], rule: str
) -> None:
    flags = {"model": "m", "data": "d", "seed": -1, **budgets}
    in_flags = problems_of(None, flags)
    assert in_flags == ["--seed: must be >= 0, is -1", f"--latency-ms, --speedup: {rule}"]
    path = write(tmp_path, "\n".join(f"{key} = {json.dumps(flags[key])}" for key in flags))
    assert problems_of(path, {})[-1] == f"{path}: {rule}"


def test_the_rule_of_one_budget_holds_for_a_plan_built_in_code() -> None:
    with pytest.raises(UsageError, match="exactly one of latency_ms and speedup"):
        Plan(model="m", data="d", speedup=2, latency_ms=1)
    with pytest.raises(UsageError, match="a goal is needed"):
        Plan(model="m", data="d")


def test_a_goal_of_an_older_plan_has_the_hash_that_it_had() -> None:
    assert plan_sha256(load_plan(None, GOOD)) != plan_sha256(
        load_plan(None, {**GOOD, "size_mib": 0.5})
    )


def test_what_is_missing_is_named_as_the_command_line_names_it() -> None:
    assert problems_of(None, {"speedup": 2.0}) == ["MODEL: is missing", "--data: is missing"]


def test_broken_toml_names_the_line(tmp_path: Path) -> None:
    path = write(tmp_path, 'model = "m"\ndata = \n')
    with pytest.raises(UsageError, match=r"plan\.toml: is not TOML: .*line 2"):
        load_plan(path, {})


def test_a_plan_of_a_later_schema_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, 'schema = 2\nmodel = "m"\ndata = "d"\nspeedup = 2\n')
    assert problems_of(path, {}) == [f"{path}:schema: must be 1, is 2"]


def test_a_missing_plan_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.toml: cannot be read: No such file"):
        load_plan(tmp_path / "none.toml", {})


def test_the_hash_is_of_what_is_asked_for_not_of_where_files_lie() -> None:
    base = plan_sha256(load_plan(None, GOOD))
    moved = load_plan(None, {**GOOD, "out": "elsewhere", "weights": "other/teacher.pt"})
    assert plan_sha256(moved) == base
    assert plan_sha256(load_plan(None, {**GOOD, "speedup": 2})) == base
    assert plan_sha256(load_plan(None, {**GOOD, "seed": 1})) != base
    # Runs from before there were tasks go on.
    assert plan_sha256(load_plan(None, {**GOOD, "task": "classification"})) == base
    assert plan_sha256(load_plan(None, {**GOOD, "task": "segmentation"})) != base


def test_the_hash_of_a_plan_stays_what_it_was() -> None:
    sha256 = "611b0ce41d7f38f6bbb86072047ad59f6b447ebe966ba79e2551ad492c1d6bf4"
    assert plan_sha256(load_plan(None, GOOD)) == sha256, "runs of before would not go on"


def test_a_plan_survives_its_own_json() -> None:
    plan = load_plan(None, {**GOOD, "out": "runs/a", "turns": 3, "learning_rate": 0.1})
    assert Plan.model_validate_json(plan.model_dump_json()) == plan


@given(latency_ms=st.floats(), turns=st.integers() | st.text(max_size=4))
def test_a_plan_is_made_exactly_for_meaningful_values(latency_ms: float, turns: int | str) -> None:
    flags = {"model": "m", "data": "d", "latency_ms": latency_ms, "turns": turns}
    good_turns = turns == "auto" or (isinstance(turns, int) and turns >= 1)
    if math.isfinite(latency_ms) and latency_ms > 0 and good_turns:
        assert load_plan(None, flags).latency_ms == latency_ms
    else:
        assert problems_of(None, flags)


def test_a_criterion_is_any_that_is_known() -> None:
    assert load_plan(None, {**GOOD, "criterion": "l1-reg"}).criterion == "l1-reg"
    [problem] = problems_of(None, {**GOOD, "criterion": "fischer"})
    assert problem == "--criterion: unknown criterion 'fischer', did you mean fisher?"


@pytest.mark.parametrize("sparsity", ["none", "2:4", 0.5, 0.99])
def test_sparsity_is_a_share_or_a_pattern(sparsity: float | str) -> None:
    plan = load_plan(None, {**GOOD, "sparsity": sparsity})
    assert plan.sparsity == sparsity
    assert Plan.model_validate_json(plan.model_dump_json()).sparsity == sparsity


@pytest.mark.parametrize("sparsity", [0.0, 1.0, 24.0, math.nan, True, 1, "4:8", "0.5"])
def test_any_other_sparsity_is_refused(sparsity: object) -> None:
    assert problems_of(None, {**GOOD, "sparsity": sparsity}) == [
        f'--sparsity: must be a share of weights between 0 and 1, "2:4" or "none", is {sparsity!r}'
    ]


def test_where_the_latency_cache_lies_is_not_what_is_asked_for() -> None:
    moved = load_plan(None, {**GOOD, "latency_cache": "elsewhere"})
    assert plan_sha256(moved) == plan_sha256(load_plan(None, GOOD))


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({}, f"latency_ms, speedup: {NO_GOAL}"),
        (
            {"speedup": 2, "epoch": 3, "max_drop": -1.0},
            "max_drop: must be > 0, is -1.0; epoch: unknown key 'epoch', "
            "did you mean epochs or teacher?",
        ),
        ({"speedup": 2, "model": ""}, "model: String should have at least 1 character, is ''"),
        (
            {"speedup": {"b": 2}, "target": ["a", "b"]},
            "latency_ms, speedup: exactly one of latency_ms and speedup is needed for a",
        ),
    ],
)
def test_a_plan_in_python_tells_all_that_is_wrong_in_one_line(
    fields: dict[str, object], problem: str
) -> None:
    with pytest.raises(UsageError) as caught:
        Plan(**fields)
    assert str(caught.value) == problem
