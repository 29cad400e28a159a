import pytest

from edgespiral.core.errors import RunFolderError
from edgespiral.core.records.events import Event
from edgespiral.report.run import Run


def test_a_journal_is_sorted_out(met: list[Event]) -> None:
    run = Run.of(met)
    assert [turn.turn for turn in run.turns] == [1, 2]
    assert set(run.planned) == {1, 2}
    assert len(run.candidates) == 5
    assert run.best is run.turns[1]
    assert run.max_drop == 2.0


def test_of_an_unfinished_run_the_last_turn_stands_for_the_result(unfinished: list[Event]) -> None:
    run = Run.of(unfinished)
    assert run.best is run.turns[0]
    assert run.student_latency == run.turns[0].devices[0].measurement


def test_seconds_are_summed_by_phase(met: list[Event]) -> None:
    seconds = Run.of(met).seconds()
    assert seconds == {"plan": 12, "cut": 3, "distil": 160, "export": 2, "measure": 5}


def test_a_speedup_is_shown_as_the_teacher_s_time_over_the_paired_ratio(met: list[Event]) -> None:
    run = Run.of(met)
    timing = run.timing(run.turns[1].devices[0])
    assert timing.latency_ms == pytest.approx(1.02 / 2.25)
    assert timing.ci95_ms.low == pytest.approx(1.02 / (2.25 * 1.02))


def test_a_latency_budget_is_shown_as_the_median_itself(already_met: list[Event]) -> None:
    run = Run.of(already_met)
    assert run.baseline is not None
    assert run.finished is not None
    timing = run.timing(run.finished.devices[0])
    assert timing.latency_ms == run.baseline.devices[0].measurement.stats.p50_ms


def test_the_prediction_error_is_over_candidates_that_were_predicted(met: list[Event]) -> None:
    assert Run.of(met).prediction_error() == pytest.approx(1.1 / 1.02 - 1)
    assert Run.of(met[:3]).prediction_error() is None


def test_a_journal_must_begin_with_a_run(met: list[Event]) -> None:
    for events in ([], met[1:]):
        with pytest.raises(RunFolderError, match="the journal holds no run"):
            Run.of(events)


def test_the_kind_of_each_device_s_budget_decides_its_latency(several: list[Event]) -> None:
    first, board = Run.of(several).devices()
    assert first.timing.latency_ms == pytest.approx(1.02 / 2.25)
    assert board.timing.latency_ms == board.student.stats.p50_ms
    assert [turn.turn for turn in Run.of(several).lineage] == [1, 2]
