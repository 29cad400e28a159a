"""Single steps, timed."""

from pathlib import Path

from edgespiral.core.listener import Silent
from edgespiral.data import load
from edgespiral.distill.own_training import USUAL
from edgespiral.measure.fleet import Fleet
from edgespiral.measure.profile import load_profile
from edgespiral.models import load_model_for
from edgespiral.spiral.plan import Plan
from edgespiral.spiral.starting.fitting import traced_teacher
from edgespiral.spiral.starting.pieces import Trial
from edgespiral.spiral.training import training_settings
from edgespiral.tasks.classification import CLASSIFICATION


def test_each_step_takes_some_time_and_changes_nothing(digits_plan: Plan, tmp_path: Path) -> None:
    splits = load("digits")
    teacher = traced_teacher(load_model_for(splits, digits_plan.model), splits, Silent())
    before = {name: value.clone() for name, value in teacher.model.state_dict().items()}
    half = {group.name: 16 for group in teacher.groups}
    settings = training_settings(digits_plan, teacher.model, len(splits.train), CLASSIFICATION)
    trial = Trial(teacher, half, splits, CLASSIFICATION, settings, USUAL, tmp_path)
    with Fleet.of([load_profile("host-cpu")]) as fleet:
        pieces = trial.pieces(fleet)
    taken = (pieces.export_s, pieces.candidate_s, pieces.forward_s, pieces.file_s)
    assert all(seconds > 0 for seconds in taken)
    assert pieces.start_s >= 0
    assert pieces.round_s >= 0
    assert pieces.step_s is not None
    assert [measurement.target for measurement in pieces.teacher] == ["host-cpu"]
    after = teacher.model.state_dict()
    assert all(bool((before[name] == value).all()) for name, value in after.items())
