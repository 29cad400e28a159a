"""A run that an older version began is gone on with."""

import json
import shutil
from typing import Any

import pytest
from quick_runs import FINISHED

from edgespiral import api
from edgespiral.core.records.events import RunFinished, TurnFinished
from edgespiral.core.records.journal import read
from edgespiral.core.records.schema_1 import RENAMED, TABLES

OLD_NAMES = {new: old for old, new in RENAMED.items()}
Json = dict[str, Any]


def with_old_names(value: Any) -> Any:
    if isinstance(value, list):
        return [with_old_names(part) for part in value]
    if not isinstance(value, dict):
        return value
    pairs = ((key, part if key in TABLES else with_old_names(part)) for key, part in value.items())
    return {OLD_NAMES.get(key, key): part for key, part in pairs}


def as_schema_1(record: Json) -> Json:
    """A record of a run of one device as it was written then."""
    old: Json = with_old_names(record)
    del old["schema_version"]
    if "devices" not in old:
        return old | ({"schema_version": 1} if old["kind"] == "run-started" else {})
    [device] = old.pop("devices")
    measurement, speedup = device["measurement"], device["speedup"]
    kind = old["kind"]
    if kind == "baseline":
        old["budget_ms"] = device["budget_ms"]
        old["teacher"]["latency"] = measurement
    elif kind == "candidate":
        old |= {"predicted_ms": device["predicted_ms"], "speedup": speedup}
        old["measurement"] = measurement
    elif kind == "turn-finished":
        old["speedup"] = speedup
        old["student"]["latency"] = measurement
    else:
        old |= {"final": measurement, "speedup": speedup}
    return old | {"elsewhere": []}


@pytest.mark.parametrize("left", [-1, -2])
def test_a_run_of_schema_1_is_gone_on_with(finished, teacher, digits, tmp_path, left):
    """Stopped before its end was written, or before its only turn's was."""
    folder = shutil.copytree(finished.folder, tmp_path / "run")
    journal = folder / "journal.jsonl"
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    old = [as_schema_1(line) for line in lines[:left]]
    journal.write_text("".join(f"{json.dumps(line)}\n" for line in old))
    before = journal.read_text()
    assert "elsewhere" in before
    assert read(journal) == read(finished.folder / "journal.jsonl")[:left]
    done = api.compress(teacher, digits, out=folder, resume=True, **FINISHED)
    assert journal.read_text().startswith(before)
    assert done.result.outcome == finished.result.outcome
    events = read(journal)
    assert isinstance(events[-1], RunFinished)
    [turn] = [event for event in events if isinstance(event, TurnFinished)]
    assert turn.student.validation_score == finished.result.student.validation_score
