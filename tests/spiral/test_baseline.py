"""Where runs start from; tests/spiral/test_publishing.py has what happens to changed files."""

from __future__ import annotations

import pytest

from edgespiral.core.errors import RunFolderError
from edgespiral.core.records.events import Baseline
from edgespiral.core.records.journal import read
from edgespiral.spiral.baseline import no_speedup, timed
from edgespiral.spiral.budget import Budgets
from edgespiral.spiral.plan import load_plan
from edgespiral.spiral.shipping.publishing import hashes_of, judged_files


def test_the_teachers_files_are_in_the_journal_as_a_turns_are(finished):
    events = read(finished.folder / "journal.jsonl")
    assert judged_files(events, 0) == hashes_of(finished.folder / "teacher")
    best = finished.result.best_turn
    assert judged_files(events, best) == hashes_of(finished.folder / f"turn-{best:02d}")
    with pytest.raises(RunFolderError, match="does not tell of turn 99"):
        judged_files(events, 99)


def test_the_teacher_was_scored_by_its_file_and_timed_on_every_target(finished):
    events = read(finished.folder / "journal.jsonl")
    [baseline] = [event for event in events if isinstance(event, Baseline)]
    evaluation = baseline.teacher.evaluation
    assert evaluation is not None
    assert (evaluation.batch_size, evaluation.samples) == (1, 270)
    assert [measurement.target for measurement in timed(baseline)] == ["host-cpu"]


def test_budgets_are_of_the_teachers_latency_where_a_speedup_is_asked_for(a_measurement):
    flags = {"model": "resnet8", "data": "digits", "target": ["a", "b"], "speedup": 2.0}
    asked = load_plan(None, flags).budgets
    budgets = Budgets.of(asked, [a_measurement(4.0), a_measurement(10.0)])
    assert [budget.latency_ms for budget in budgets.each] == [2.0, 5.0]
    assert (no_speedup().value, no_speedup().ci95.low, no_speedup().ci95.high) == (1, 1, 1)
