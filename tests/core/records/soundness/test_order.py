from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from edgespiral.core.errors import ExitCode, RunFolderError
from edgespiral.core.records import events
from edgespiral.core.records.soundness.order import require_order

HERE = Path("journal.jsonl")


def record(kind, **fields):
    """A record with the fields that its place depends on."""
    return kind.model_construct(**{"devices": (SimpleNamespace(),), **fields})


def planned(turn):
    return record(events.TurnPlanned, turn=turn)


def finished(turn, parent=0):
    return record(events.TurnFinished, turn=turn, parent=parent)


STARTED, BASELINE = record(events.RunStarted), record(events.Baseline)
RACED = record(events.RuntimeChosen)
CHOSEN, CANDIDATE = record(events.PrecisionChosen), record(events.Candidate)


def rated(turn):
    return record(events.RateChosen, turn=turn)


def ended(best_turn):
    return record(events.RunFinished, best_turn=best_turn)


WHOLE = [
    *(STARTED, BASELINE, CANDIDATE, CHOSEN, planned(1), CANDIDATE, rated(1), finished(1)),
    *(planned(2), finished(2, parent=1), ended(2)),
]


@pytest.mark.parametrize("length", range(len(WHOLE) + 1))
def test_what_a_run_has_written_so_far_is_in_order(length):
    require_order(WHOLE[:length], HERE)


def test_a_family_is_measured_once_and_has_a_turn_as_a_cut_has():
    family = record(events.FamilyMeasured)
    own = [*WHOLE[:-1], family, planned(3), rated(3), finished(3), ended(3)]
    require_order(own, HERE)
    with pytest.raises(RunFolderError, match="family-measured: is there a second time"):
        require_order([*own[:-1], family], HERE)


def test_a_race_comes_before_the_baseline():
    require_order([STARTED, RACED, *WHOLE[1:]], HERE)


BAD = {
    "1: baseline: the journal does not begin with a run's start": [BASELINE],
    "2: run-started: is there a second time": [STARTED, STARTED, BASELINE],
    "3: run-started: is there a second time": [STARTED, BASELINE, STARTED],
    "3: baseline: is there a second time": [STARTED, BASELINE, BASELINE],
    "3: runtime-chosen: is there a second time": [STARTED, RACED, RACED],
    "3: runtime-chosen: comes after the baseline": [STARTED, BASELINE, RACED],
    "2: candidate: comes before the baseline": [STARTED, CANDIDATE],
    "4: precision-chosen: is there a second time": [STARTED, BASELINE, CHOSEN, CHOSEN],
    "4: turn-planned: turn 1 was planned before": [STARTED, BASELINE, planned(1), planned(1)],
    "3: turn-planned: is of turn 2, and turn 1 is due": [STARTED, BASELINE, planned(2)],
    "3: turn-finished: turn 1 was never planned": [STARTED, BASELINE, finished(1)],
    "5: turn-finished: is of turn 1, and turn 2 is due": [
        *WHOLE[:2],
        planned(1),
        *[finished(1)] * 2,
    ],
    "4: turn-finished: tells of turn 3": [*WHOLE[:2], planned(1), finished(1, parent=3)],
    "3: run-finished: tells of turn 1, which was never finished": [*WHOLE[:2], ended(1)],
    "3: family-measured: tells of turn 1, which was never finished": [
        *WHOLE[:2],
        record(events.FamilyMeasured, best_turn=1),
    ],
    "4: rate-chosen: is of turn 2, and turn 1 is due": [*WHOLE[:2], planned(1), rated(2)],
    "3: rate-chosen: turn 1 was never planned": [*WHOLE[:2], rated(1)],
    "5: rate-chosen: turn 1 had its rate before": [*WHOLE[:2], planned(1), rated(1), rated(1)],
    "4: exploration-planned: is there a second time": [
        *WHOLE[:2],
        *[record(events.ExplorationPlanned)] * 2,
    ],
    "12: candidate: the run had ended before": [*WHOLE, CANDIDATE],
    "12: run-finished: the run had ended before": [*WHOLE, ended(2)],
}


@pytest.mark.parametrize("problem", BAD)
def test_a_journal_that_no_run_has_written_is_refused(problem):
    with pytest.raises(RunFolderError, match=re.escape(f"journal.jsonl:{problem}")) as caught:
        require_order(BAD[problem], HERE)
    assert caught.value.exit_code == ExitCode.RUN_FOLDER


def test_a_record_of_other_devices_is_refused():
    other = events.Candidate.model_construct(devices=(SimpleNamespace(),) * 2)
    with pytest.raises(RunFolderError, match="is of 2 devices, the baseline of 1"):
        require_order([STARTED, BASELINE, other], HERE)
