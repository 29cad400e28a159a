"""A journal that a run of schema 1 wrote, on two devices, is kept here as it was."""

import json
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

from edgespiral.core.errors import RunFolderError
from edgespiral.core.records.events import (
    SCHEMA,
    Baseline,
    Candidate,
    Outcome,
    PrecisionChosen,
    RunFinished,
    RunStarted,
    TurnFinished,
    TurnPlanned,
)
from edgespiral.core.records.journal import Journal, read
from edgespiral.core.records.measurement import Verdict
from edgespiral.core.records.schema_1 import Upgrade, upgraded_result

GOLDEN = Path(__file__).with_name("schema_1.jsonl")
LINES = [json.loads(line) for line in GOLDEN.read_text(encoding="utf-8").splitlines()]
KINDS = {line["kind"]: number for number, line in enumerate(LINES)}


def test_every_record_has_all_of_its_devices() -> None:
    events = read(GOLDEN)
    assert [event.kind for event in events] == [line["kind"] for line in LINES]
    assert {event.schema_version for event in events} == {SCHEMA}
    for event in events:
        if isinstance(event, Baseline | Candidate | TurnFinished | RunFinished):
            assert [device.target for device in event.devices] == ["host-cpu", "board"]
            assert [device.budget_ms for device in event.devices] == [
                pytest.approx(1.02 / 2.2),
                20.0,
            ]


def test_figures_are_where_they_belong_by_now() -> None:
    events = read(GOLDEN)
    started, baseline, chosen, *_, last = events
    assert isinstance(started, RunStarted)
    assert isinstance(baseline, Baseline)
    assert isinstance(chosen, PrecisionChosen)
    assert isinstance(last, RunFinished)
    assert started.plan == LINES[0]["plan"]
    assert started.metric.name == "accuracy"
    assert baseline.teacher.validation_score == 93.4
    assert baseline.teacher.evaluation is not None
    assert baseline.teacher.evaluation.pytorch_score == 93.4
    first = baseline.devices[0]
    latency = LINES[1]["teacher"]["latency"]
    measurement = first.measurement.model_dump(mode="json")
    # What came later has no figure there.
    assert {key: measurement[key] for key in latency} == latency
    assert (first.speedup.value, first.verdict) == (1.0, None)
    assert chosen.trials[0].validation_score == 93.2
    assert (last.teacher_test_score, last.student_test_score) == (93.1, 92.35)
    assert last.devices[0].speedup.value == 2.25
    checked, silent = last.device_checks
    assert (checked.score, checked.score_here, silent.score) == (92.5, 92.6, None)
    assert checked.parity is not None
    assert checked.parity.agreement == 0.99
    done = [event for event in events if isinstance(event, TurnFinished)][-1]
    assert done.quantised_training is not None
    assert (done.quantised_training.score_before, done.score_after_cut) == (91.5, 72.6)
    assert done.restored[0].score_gain == 0.2
    predicted = [event.devices[1].predicted_ms for event in events if isinstance(event, Candidate)]
    assert predicted == [21.0] * len(predicted)


def test_the_first_device_s_verdict_is_the_turn_s_where_that_was_said() -> None:
    missed, met = (event for event in read(GOLDEN) if isinstance(event, TurnFinished))
    assert missed.verdict is Verdict.MISSED
    assert [device.verdict for device in missed.devices] == [None, Verdict.MISSED]
    assert [device.verdict for device in met.devices] == [Verdict.MET, Verdict.MET]
    alone = {**LINES[KINDS["turn-finished"]], "elsewhere": [], "verdict": "missed"}
    assert Upgrade().record(alone)["devices"][0]["verdict"] == "missed"


def test_a_run_goes_on_in_today_s_schema(tmp_path: Path) -> None:
    events = read(GOLDEN)
    journal = Journal(tmp_path / "journal.jsonl")
    begun = list(takewhile(lambda line: line["kind"] != "turn-planned", LINES))
    journal.path.write_text("".join(f"{json.dumps(line)}\n" for line in begun))
    for event in events[len(begun) :]:
        journal.append(event)
    assert journal.read() == events
    Journal(tmp_path / "new.jsonl").append(events[0])
    assert json.loads((tmp_path / "new.jsonl").read_text())["schema_version"] == SCHEMA


def test_a_journal_from_before_there_were_tasks_and_trials_had_gone_is_read(
    tmp_path: Path,
) -> None:
    begun = {key: value for key, value in LINES[0].items() if key != "metric"}
    teacher = {k: v for k, v in LINES[1]["teacher"].items() if k not in ("evaluation", "precision")}
    measured = {k: LINES[1][k] for k in ("kind", "widths", "budget_ms")} | {"teacher": teacher}
    planned = {**LINES[KINDS["turn-planned"]], "finalists": []}
    path = tmp_path / "journal.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in (begun, measured, planned)))
    first, second, third = read(path)
    assert isinstance(first, RunStarted)
    assert first.metric.name == "accuracy"
    assert isinstance(second, Baseline)
    assert [device.target for device in second.devices] == ["host-cpu"]
    assert isinstance(third, TurnPlanned)


def test_a_crossed_floor_is_one_of_the_score() -> None:
    crossed = {**LINES[-1], "outcome": "accuracy-floor"}
    assert Upgrade().record(crossed)["outcome"] == Outcome.SCORE_FLOOR


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("baseline", {"elsewhere": 3}),
        ("baseline", {"teacher": []}),
        ("baseline", {"schema_version": 3}),
        ("baseline", {"schema_version": []}),
        ("candidate", {"speedup": None}),
        ("candidate", {"elsewhere": {}}),
        ("turn-finished", {"verdict": {}}),
        ("turn-finished", {"student": None}),
        ("run-finished", {"final": 1}),
        ("run-finished", {"kind": "record"}),
        ("run-finished", {"kind": {}}),
    ],
)
def test_damage_is_told_with_its_line(tmp_path: Path, kind: str, change: dict[str, Any]) -> None:
    number = KINDS[kind]
    lines = [*LINES[:number], {**LINES[number], **change}, *LINES[number + 1 :]]
    path = tmp_path / "journal.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    with pytest.raises(
        RunFolderError, match=f"journal.jsonl:{number + 1}: damaged record: "
    ) as told:
        read(path)
    assert "\n" not in str(told.value)


def test_a_gate_s_verdicts_have_today_s_words() -> None:
    cases = [{"verdict": "pass", "checks": [{"verdict": "pass"}, {"verdict": "measured"}]}, 7]
    old = {"schema_version": 1, "verdict": "regressed", "cases": cases}
    assert upgraded_result(old) == {
        "schema_version": 2,
        "verdict": "missed",
        "cases": [{"verdict": "met", "checks": [{"verdict": "met"}, {"verdict": "measured"}]}, 7],
    }
    assert upgraded_result({"verdict": []}) == {"schema_version": 2, "verdict": []}


def deep(depth: int) -> str:
    return '{"a":' * depth + "1" + "}" * depth


@pytest.mark.parametrize(
    "line",
    ['{"kind": "_init__"}', '{"kind": "_class__"}', '{"kind": ["run-started"]}', deep(900)],
)
def test_hostile_records_are_damaged_ones(tmp_path: Path, line: str) -> None:
    (tmp_path / "journal.jsonl").write_text(line + "\n")
    with pytest.raises(RunFolderError, match=r"journal\.jsonl:1: damaged record"):
        read(tmp_path / "journal.jsonl")
