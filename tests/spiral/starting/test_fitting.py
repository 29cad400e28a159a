"""What a run refuses before any time is spent."""

from typing import Any

import pytest

from edgespiral.core.errors import UsageError
from edgespiral.core.listener import Silent
from edgespiral.core.records.metric import Metric
from edgespiral.data import load
from edgespiral.measure.profile import load_profile
from edgespiral.models import load_model_for
from edgespiral.spiral.plan import Plan
from edgespiral.spiral.plan.training_fields import VIEWS_FROM_EPOCHS
from edgespiral.spiral.starting.fitting import (
    check_cuts,
    fitted,
    require_drop,
    shared_multiple,
    traced_teacher,
)
from edgespiral.tasks.classification import CLASSIFICATION


def test_what_may_be_lost_of_a_unit_of_its_own_is_to_be_said() -> None:
    error = Metric(name="RMSE", unit="m", higher_is_better=False)
    with pytest.raises(UsageError, match="how much worse RMSE m may get is not said"):
        require_drop(error, {"speedup"})
    require_drop(error, {"speedup", "max_drop"})
    require_drop(Metric(name="accuracy"), {"speedup"})


def test_steps_suit_every_device() -> None:
    profile = load_profile("host-cpu")
    device = profile.device.model_copy(update={"channel_multiple": 12})
    other = profile.model_copy(update={"device": device})
    own = profile.device.channel_multiple
    assert shared_multiple("none", [profile]) == own
    assert shared_multiple("none", [profile, other]) % 12 == 0


def test_groups_too_narrow_to_cut_are_named_and_nothing_to_cut_is_refused(
    digits_plan: Plan,
) -> None:
    splits = load("digits")
    teacher = traced_teacher(load_model_for(splits, digits_plan.model), splits, Silent())
    assert check_cuts("fisher", "auto", teacher, 16) == []
    with pytest.raises(UsageError, match="64"):
        check_cuts("fisher", "auto", teacher, 64)


@pytest.mark.parametrize(
    ("epochs", "shown"), [(VIEWS_FROM_EPOCHS - 1, False), (VIEWS_FROM_EPOCHS, True)]
)
def test_students_of_many_passes_see_random_views_and_a_line_says_so(
    digits_plan: Plan, heard: Any, epochs: float, shown: bool
) -> None:
    plan, splits = digits_plan.model_copy(update={"epochs": epochs}), load("digits")
    model = load_model_for(splits, plan.model)
    _, seen, _ = fitted(plan, model, splits, CLASSIFICATION, heard)
    assert (seen.train.order(0) is None) is shown
    assert any("students see random views" in line for line in heard.lines) is shown
    # Not where there are none to be seen, and not where it was said what is wanted.
    asked = plan.model_copy(update={"augment": False})
    for other, given in ((splits.unaugmented(), plan), (splits, asked)):
        heard.lines.clear()
        _, stored, _ = fitted(given, model, other, CLASSIFICATION, heard)
        assert stored.train.order(0) is not None
        assert not any("random views" in line for line in heard.lines)
