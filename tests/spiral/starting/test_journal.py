from __future__ import annotations

import pytest

from edgespiral.core.errors import RunFolderError
from edgespiral.models.saved import trace
from edgespiral.prune.prunable import PrunableModel
from edgespiral.spiral.plan import Plan
from edgespiral.spiral.starting.journal import begun_journal
from edgespiral.tasks.classification import CLASSIFICATION
from edgespiral.tasks.regression import PLUGIN as REGRESSION


def test_a_journal_goes_on_with_its_own_run_alone(teacher, digits, tmp_path):
    source = PrunableModel.of(trace(teacher.eval()), digits.input_shape)
    plan = Plan(model="ResNet", data="digits", speedup=2.0)

    def begin(plan, task=CLASSIFICATION, *, resume=True):
        path = tmp_path / "journal.jsonl"
        return begun_journal(plan, source, task, digits, path, resume=resume, command="test")

    first = begin(plan, resume=False).read()
    assert begin(plan).read() == first
    with pytest.raises(RunFolderError, match="another plan or another teacher"):
        begin(plan.model_copy(update={"epochs": 9.0}))
    with pytest.raises(RunFolderError, match="is scored by accuracy, not by"):
        begin(plan, REGRESSION)
    assert begin(plan).read() == first


def test_what_nobody_said_is_recorded_as_it_was_settled_and_not_gone_on_with_as_another(
    teacher, digits, tmp_path
):
    """The default that is said is another batch than the one that suits so few samples."""
    source = PrunableModel.of(trace(teacher.eval()), digits.input_shape)
    given = {"model": "ResNet", "data": "digits", "speedup": 2.0}
    path = tmp_path / "journal.jsonl"

    def begin(*, resume=True, **more):
        plan = Plan(**given, **more)
        return begun_journal(
            plan, source, CLASSIFICATION, digits, path, resume=resume, command="test"
        )

    [started] = begin(resume=False).read()
    assert (started.plan["batch_size"], started.plan["temperature"]) == (32, 4.0)
    assert started.said == ("model", "data", "speedup")
    with pytest.raises(RunFolderError, match="holds a run with batch_size 32, not 128; go on"):
        begin(batch_size=128)
    with pytest.raises(RunFolderError, match="another plan"):
        begin(batch_size=256)
    assert begin().read() == begin(temperature=4.0).read() == [started]
    path.write_text(started.model_copy(update={"said": None}).model_dump_json() + "\n")
    assert begin(batch_size=128).read(), "journals of before do not tell whether it was said"
    path.unlink()
    begin(batch_size=128, resume=False)
    with pytest.raises(RunFolderError, match="holds a run with batch_size 128, not 32"):
        begin()


def test_a_run_and_an_exploration_do_not_share_a_folder(teacher, digits, tmp_path):
    """Each would write its teacher over the other's."""
    source = PrunableModel.of(trace(teacher.eval()), digits.input_shape)
    plan = Plan(model="ResNet", data="digits", speedup=2.0)
    (tmp_path / "journal.jsonl").write_text("{}\n")
    path = tmp_path / "exploration.jsonl"
    with pytest.raises(RunFolderError, match=r"holds what journal\.jsonl tells of; choose another"):
        begun_journal(plan, source, CLASSIFICATION, digits, path, resume=True, command="test")
    assert not path.exists()
