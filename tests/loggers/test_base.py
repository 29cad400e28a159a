from __future__ import annotations

import pytest

from edgespiral.core.listener import TrainingProgress
from edgespiral.loggers.base import FigureLog, figures_of, run_of


class Kept(FigureLog):
    """Keeps what it is given to write."""

    def __init__(self):
        self.points, self.runs, self.ended = {}, [], []

    def begin(self, run):
        self.runs.append(run)

    def write(self, figures, step, axis):
        for name, value in figures.items():
            self.points.setdefault((axis, name), {})[step] = value

    def end(self, run, error):
        self.ended.append((run, error))


def test_curves_of_models_are_over_turns_and_the_teacher_is_turn_0(records, tmp_path):
    log = Kept()
    log.run_opened(tmp_path, records[:1])
    for record in records[1:]:
        log.record_written(record)
    assert log.points["", "validation/word error"] == {0: 90.0, 1: 89.0, 2: 88.5}
    assert log.points["", "latency_ms/host-cpu"] == {0: 8.0, 1: 6.0, 2: 4.0}
    assert log.points["", "latency_ms_low/host-cpu"][0] == pytest.approx(7.92)
    assert log.points["", "speedup/host-cpu"][2] == 2.0
    assert log.points["", "budget_ms/host-cpu"] == {0: 4.0, 1: 4.0, 2: 4.0}
    assert log.points["", "size_mib"] == {0: 1.0, 1: 1.0, 2: 0.5}
    assert log.points["", "learning_rate"] == {1: 0.1, 2: 0.05}
    assert log.points["", "seconds/train"] == {1: 3.5, 2: 3.5}
    assert log.points["", "test/word error"] == {0: 91.0, 2: 89.5}


def test_curves_of_a_training_are_over_its_steps_and_named_after_its_turn(records, tmp_path):
    log = Kept()
    log.run_opened(tmp_path, records[:2])
    for record in records[2:6]:  # the second turn is planned
        log.record_written(record)
    log.training_progressed(TrainingProgress("distilling", 10, 40, 0.7, 0.05, 900.0))
    log.training_progressed(TrainingProgress("distilling", 20, 40, 0.5, None, 900.0))
    axis = "training/turn-02/distilling"
    assert log.points[axis, f"{axis}/loss"] == {10: 0.7, 20: 0.5}
    assert log.points[axis, f"{axis}/learning_rate"] == {10: 0.05}


def test_a_run_that_is_gone_on_with_is_the_same_and_has_its_figures_again(records, tmp_path):
    first, again = Kept(), Kept()
    first.run_opened(tmp_path, records[:1])
    for record in records[1:]:
        first.record_written(record)
    again.run_opened(tmp_path, records)
    assert again.points == first.points
    assert again.runs == first.runs
    later = records[0].model_copy(update={"command": "another"})
    assert run_of(later, tmp_path).identity != first.runs[0].identity
    settings = first.runs[0].settings
    assert settings["speedup"] == "2.0"
    assert "weights" not in settings


def test_what_has_no_figures_writes_none(records):
    assert list(figures_of(records[0], records[0].metric)) == []
