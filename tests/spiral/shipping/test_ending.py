"""How runs end; tests/spiral/test_loop.py has when."""

from __future__ import annotations

from edgespiral.core.records.events import RunFinished
from edgespiral.core.records.journal import read
from edgespiral.export.parity import file_score, file_scored
from edgespiral.tasks.classification import CLASSIFICATION


def test_the_last_record_is_about_the_published_files(finished, digits):
    last = read(finished.folder / "journal.jsonl")[-1]
    assert isinstance(last, RunFinished)
    published, teacher = finished.folder / "model.onnx", finished.folder / "teacher" / "model.onnx"
    assert last.student_test_score == file_score(published, digits.test, task=CLASSIFICATION)
    assert last.teacher_test_score == file_score(teacher, digits.test, task=CLASSIFICATION)
    assert last.student_beside == file_scored(published, digits.test, task=CLASSIFICATION)[1]
    assert [figure.metric.name for figure in last.teacher_beside] == ["macro F1"]
    [check] = last.device_checks
    assert (check.target, check.not_checked) == ("quick", None)
    assert check.score == check.score_here


def test_what_the_run_kept_for_itself_is_gone_at_its_end(finished):
    assert not (finished.folder / "outputs").exists()
    assert not (finished.folder / "candidates").exists()
