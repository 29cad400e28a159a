"""What single values of a plan may be; those of before are in test_fields.py."""

import math
from pathlib import Path

import pytest

from edgespiral.core.errors import UsageError
from edgespiral.spiral.plan import Plan, load_plan


@pytest.mark.parametrize(
    ("given", "kept"), [("50%", 0.5), ("12.5%", 0.125), (0.25, 0.25), (1200, 1200), (1e6, 10**6)]
)
def test_parameters_are_a_count_or_a_share(given: object, kept: float) -> None:
    plan = load_plan(None, {"model": "m", "data": "d", "parameters": given})
    assert plan.parameters == kept
    assert isinstance(plan.parameters, int) == (kept >= 1)
    assert Plan.model_validate_json(plan.model_dump_json()) == plan


@pytest.mark.parametrize(
    ("kind", "beside"),
    [
        ("latency_ms", {"max_drop": 1.0}),
        ("speedup", {}),
        ("memory_mib", {"parameters": "50%"}),
        ("energy_mj", {"parameters": "50%"}),
    ],
)
def test_an_empty_table_is_no_budget(tmp_path: Path, kind: str, beside: dict[str, object]) -> None:
    """It asked for nothing, and a run that took it for a budget would have met it at once."""
    path = tmp_path / "plan.toml"
    path.write_text(f"[{kind}]\n", encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        load_plan(path, {"model": "m", "data": "d", **beside})
    problem = "names no target, give a number or one for each target"
    assert str(caught.value) == f"{path}:{kind}: {problem}"


@pytest.mark.parametrize(
    "given", ["0%", "100%", "150%", "50", "half", "%", "nan%", 0, -3, 1.5, math.nan, math.inf, True]
)
def test_parameters_that_mean_nothing_are_refused(given: object) -> None:
    with pytest.raises(UsageError) as caught:
        load_plan(None, {"model": "m", "data": "d", "parameters": given})
    assert str(caught.value) == (
        "--parameters: must be a count of parameters from 1 up or a share below 100 % such as "
        f'"50%", is {given!r}'
    )
