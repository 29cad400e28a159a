import pytest
from plans import GOOD, problems_of

from edgespiral.spiral.plan import load_plan, plan_sha256
from edgespiral.spiral.plan.training_fields import VIEWS_FROM_EPOCHS


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


@pytest.mark.parametrize(
    ("asked", "epochs", "shown"),
    [
        (None, VIEWS_FROM_EPOCHS - 1, False),
        (None, VIEWS_FROM_EPOCHS, True),
        (False, VIEWS_FROM_EPOCHS, False),
        (True, 1.0, True),
    ],
)
def test_views_are_shown_as_asked_or_by_how_many_passes_there_are(
    asked: bool | None, epochs: float, shown: bool
) -> None:
    plan = load_plan(None, {**GOOD, "epochs": epochs, "augment": asked})
    assert plan.shows_views is shown
    # A run goes on, whether its plan says so or leaves it to the rule.
    said = load_plan(None, {**GOOD, "epochs": epochs, "augment": shown})
    assert plan_sha256(said) == plan_sha256(plan)
    other = load_plan(None, {**GOOD, "epochs": epochs, "augment": not shown})
    assert plan_sha256(other) != plan_sha256(plan)
