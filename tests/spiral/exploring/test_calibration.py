from __future__ import annotations

import pytest

from edgespiral.core.records.events import Baseline, RunStarted, TrainedCut
from edgespiral.core.records.journal import read
from edgespiral.spiral.exploring.calibration import estimated, loss_of, trained_cuts


def trained(divergence_nats, lost, weight_share=1.0):
    return TrainedCut(
        run="run",
        turn=1,
        epochs=4.0,
        divergence_nats=divergence_nats,
        weight_share=weight_share,
        lost=lost,
    )


def test_of_two_cuts_as_far_off_the_one_with_more_weights_loses_less():
    assert loss_of(0.1, 0.9) < loss_of(0.1, 0.3)
    assert loss_of(0.0, 0.3) == 0.0


def test_without_a_trained_cut_nothing_is_told():
    assert estimated(0.1, []) is None
    assert estimated(0.1, [trained(0.0, 0.5)]) is None


def test_two_cuts_give_a_line_and_no_interval():
    estimate = estimated(0.3, [trained(0.1, 1.0), trained(0.2, 2.0)])
    assert estimate is not None
    assert (estimate.value, estimate.ci95) == (pytest.approx(3.0), None)


def test_the_interval_is_students_of_a_line_through_the_origin():
    # By hand: slope 10, residuals 0.1, -0.1 and 0, so a variance of 0.01; t of 2 degrees is 4.3027.
    cuts = [trained(0.1, 1.1), trained(0.1, 0.9), trained(0.2, 2.0)]
    estimate = estimated(0.2, cuts)
    assert estimate is not None
    assert estimate.ci95 is not None
    half = 4.3027 * (0.01 * (1 + 0.04 / 0.06)) ** 0.5
    assert estimate.value == pytest.approx(2.0)
    assert estimate.ci95.high - estimate.value == pytest.approx(half, rel=1e-3)
    assert estimate.value - estimate.ci95.low == pytest.approx(half, rel=1e-3)


def looked_at(folders, started, **other):
    said = []
    asked = {
        "teacher_sha256": started.teacher_sha256,
        "metric": started.metric,
        "precision": "fp32",
        "damage": lambda _widths: (0.1, 0.5),
        **other,
    }
    return trained_cuts(folders, say=said.append, **asked), said


def test_a_finished_run_tells_what_its_cuts_of_the_teacher_lost(finished):
    events = read(finished.folder / "journal.jsonl")
    started = next(event for event in events if isinstance(event, RunStarted))
    baseline = next(event for event in events if isinstance(event, Baseline))
    cuts, _ = looked_at([finished.folder], started)
    assert [(cut.run, cut.turn, cut.divergence_nats) for cut in cuts] == [("run", 1, 0.1)]
    lost = baseline.teacher.validation_score - finished.result.student.validation_score
    assert cuts[0].lost == pytest.approx(lost)
    for other in ({"teacher_sha256": "0" * 64}, {"precision": "int8"}, {"damage": lambda _w: None}):
        assert looked_at([finished.folder], started, **other) == ([], [])


def test_a_run_that_cannot_be_read_is_said_and_left_out(finished, tmp_path):
    (tmp_path / "journal.jsonl").write_text("{}\n")
    started = next(
        event for event in read(finished.folder / "journal.jsonl") if isinstance(event, RunStarted)
    )
    cuts, said = looked_at([tmp_path, finished.folder], started)
    assert len(cuts) == 1
    assert len(said) == 1
    assert f"not calibrated on {tmp_path.name}" in said[0]
