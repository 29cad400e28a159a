import json
from typing import Any

import pytest
from pydantic import ValidationError

from edgespiral.core.records.events import EVENT, RunStarted, TurnPlanned

PLANNED: dict[str, Any] = {
    "turn": 1,
    "target_ms": 1.5,
    "widths": {"conv1": 8},
    "importance_lost": 0.1,
    "epochs": 2.0,
}


STARTED: dict[str, Any] = {
    "kind": "run-started",
    "plan": {"max_drop": 2.0},
    "plan_sha256": "0",
    "teacher_sha256": "0",
    "versions": {},
    "command": "edgespiral compress",
    "started_at": "2026-11-01T00:00:00Z",
}


def test_a_run_names_its_metric() -> None:
    with pytest.raises(ValidationError, match="metric"):
        EVENT.validate_json(json.dumps(STARTED))
    named = {"name": "RMSE", "unit": "m", "higher_is_better": False}
    own = EVENT.validate_json(json.dumps(STARTED | {"metric": named}))
    assert isinstance(own, RunStarted)
    assert own.metric.model_dump() == named


def test_an_event_is_read_back_as_the_record_it_was() -> None:
    planned = TurnPlanned(**PLANNED)
    assert EVENT.validate_json(EVENT.dump_json(planned)) == planned


@pytest.mark.parametrize(
    "change",
    [{"target_ms": float("nan")}, {"target_ms": 0.0}, {"surprise": 1}, {"epochs": float("inf")}],
)
def test_records_refuse_what_means_nothing(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(change))):
        TurnPlanned(**(PLANNED | change))


def test_records_do_not_change() -> None:
    planned = TurnPlanned(**PLANNED)
    with pytest.raises(ValidationError, match="frozen"):
        planned.turn = 2  # type: ignore[misc]
