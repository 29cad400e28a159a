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


def test_a_run_and_an_exploration_do_not_share_a_folder(teacher, digits, tmp_path):
    """Each would write its teacher over the other's."""
    source = PrunableModel.of(trace(teacher.eval()), digits.input_shape)
    plan = Plan(model="ResNet", data="digits", speedup=2.0)
    (tmp_path / "journal.jsonl").write_text("{}\n")
    path = tmp_path / "exploration.jsonl"
    with pytest.raises(RunFolderError, match=r"holds what journal\.jsonl tells of; choose another"):
        begun_journal(plan, source, CLASSIFICATION, digits, path, resume=True, command="test")
    assert not path.exists()
