import pytest
from plans import GOOD, problems_of

from edgespiral.spiral.plan import load_plan


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("alpha", -0.1, "must be >= 0, is -0.1"),
        ("batch_size", 1, "must be >= 2, is 1"),
        ("weight_decay", -1.0, "must be >= 0, is -1.0"),
        ("clip_norm", 0.0, "must be > 0, is 0.0"),
        ("ema_decay", 1.0, "must be < 1, is 1.0"),
        ("accumulate", 0, "must be >= 1, is 0"),
        ("seed", -1, "must be >= 0, is -1"),
    ],
)
def test_a_setting_of_the_training_has_bounds(field: str, value: object, rule: str) -> None:
    assert problems_of(None, {**GOOD, field: value}) == [f"--{field.replace('_', '-')}: {rule}"]


def test_settings_at_their_bounds_are_taken() -> None:
    bounds = {"alpha": 1.0, "batch_size": 2, "weight_decay": 0.0, "ema_decay": 0.0, "seed": 0}
    plan = load_plan(None, {**GOOD, **bounds})
    assert {field: getattr(plan, field) for field in bounds} == bounds
