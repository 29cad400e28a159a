"""Journals with a figure that a hand has changed: each is refused with its line."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from example_records import NOON, measurement

from edgespiral.core.errors import RunFolderError
from edgespiral.core.records.events import (
    Baseline,
    ModelFacts,
    OnDevice,
    Outcome,
    RunFinished,
    RunStarted,
    TurnFinished,
    TurnPlanned,
)
from edgespiral.core.records.exported import QuantisedTraining
from edgespiral.core.records.footprint import MIB, FootprintBudget
from edgespiral.core.records.inspection import NetworkNode
from edgespiral.core.records.journal import Journal, read_run
from edgespiral.core.records.measurement import Interval, Measurement, Ratio, Verdict
from edgespiral.core.records.metric import Figure, Metric
from edgespiral.core.statistics.stats import paired_ratio

Json = dict[str, Any]

TEACHER_MS, STUDENT_MS = ((4.0, 4.1, 4.2),) * 6, ((1.9, 2.0, 2.1),) * 6
PLAN = {"model": "net", "data": "digits", "target": "host-cpu", "max_drop": 2.0, "speedup": 2.0}
WORDS = Metric(name="WER", higher_is_better=False)
MACRO_F1 = Figure(metric=Metric(name="macro F1"), value=96.0)
WIDTHS = {"conv": 8}


def taken(rounds_ms: tuple[tuple[float, ...], ...]) -> Measurement:
    return measurement(rounds_ms[0][1], rounds_ms=rounds_ms)


def facts(score: float) -> ModelFacts:
    return ModelFacts(validation_score=score, parameter_count=1000, size_bytes=4000)


def device(speedup: Ratio, rounds_ms: tuple[tuple[float, ...], ...], **fields: object) -> OnDevice:
    own = {"budget_ms": 2.05, "measurement": taken(rounds_ms), "speedup": speedup}
    return OnDevice.model_validate(own | fields)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """A run of one turn that met its budget."""
    path = tmp_path / "journal.jsonl"
    itself = Ratio(value=1.0, ci95=Interval(low=1.0, high=1.0))
    student = device(paired_ratio(TEACHER_MS, STUDENT_MS), STUDENT_MS, verdict=Verdict.MET)
    records = [
        RunStarted(
            plan=PLAN,
            plan_sha256="p" * 64,
            metric=Metric(name="accuracy"),
            teacher_sha256="t" * 64,
            versions={},
            command="edgespiral compress net",
            started_at=NOON,
        ),
        Baseline(
            teacher=facts(97.0),
            widths=WIDTHS,
            devices=(device(itself, TEACHER_MS),),
            network=(NetworkNode(name="conv", layer="conv", operator="Conv2d 1x1", channels=8),),
        ),
        TurnPlanned(turn=1, target_ms=2.0, widths={"conv": 4}, importance_lost=0.1, epochs=1.0),
        TurnFinished(
            turn=1,
            parent=0,
            widths={"conv": 4},
            criterion="fisher",
            pruner="nni",
            student=facts(96.0),
            devices=(student,),
            quantised_training=QuantisedTraining(
                epochs=1.0, score_before=90.0, score_after=96.0, kept=True
            ),
            score_after_cut=70.0,
            verdict=Verdict.MET,
            epochs=1.0,
            seconds={"distil": 1.0},
            files={},
            seed=0,
            finished_at=NOON,
            layers={"conv": 4},
        ),
        RunFinished(
            outcome=Outcome.MET,
            message="the budget is met",
            best_turn=1,
            teacher_test_score=96.5,
            student_test_score=95.5,
            student_beside=(MACRO_F1,),
            devices=(student,),
            finished_at=NOON,
        ),
    ]
    own = Journal(path)
    for record in records:
        own.append(record)
    return path


def changed(path: Path, line: int, change: Callable[[Json], object]) -> None:
    lines = [json.loads(text) for text in path.read_text().splitlines()]
    change(lines[line - 1])
    path.write_text("".join(f"{json.dumps(record)}\n" for record in lines))


def put(*keys: str | int, value: object) -> Callable[[Json], object]:
    def change(record: Json) -> None:
        place: Any = record
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = value

    return change


TIMED = ("devices", 0, "measurement")
STATS = (*TIMED, "stats")
SPEEDUP = ("devices", 0, "speedup")
TOMORROW = (datetime.now(UTC) + timedelta(days=3)).isoformat()
SLOW_CI = {"low": 3.0, "high": 3.1, "confidence": 0.95}
SURE = {"low": 9.0, "high": 9.2, "confidence": 0.95}

IMPOSSIBLE = [
    ("103.5, whole", 4, put("student", "validation_score", value=103.5), "must be from 0 to 100 %"),
    ("below 0", 2, put("teacher", "validation_score", value=-0.5), "accuracy -0.50 %"),
    ("after the cut", 4, put("score_after_cut", value=1e6), "must be from 0 to 100 %"),
    ("before int8", 4, put("quantised_training", "score_before", value=101), "from 0 to 100 %"),
    ("on test", 5, put("student_test_score", value=140.0), "must be from 0 to 100 %"),
    ("beside", 5, put("student_beside", 0, "value", value=140.0), "macro F1 140.00 %"),
    ("speed-up", 4, put(*SPEEDUP, "value", value=1e308), "outside of its interval"),
    ("speed-up of rounds", 4, put(*SPEEDUP, value={
        "value": 9.1, "ci95": SURE, "reference_ms": [4.1] * 6}), "which by its rounds is 2.05"),
    ("speed-up of medians", 4, put(*SPEEDUP, value={
        "value": 991, "ci95": {"low": 990, "high": 992}}), "where the teacher takes 4.1 ms"),
    ("pairs", 4, put(*SPEEDUP, "reference_ms", value=[4.1] * 5), "5 rounds are paired with 6"),
    ("speed-up of 0", 4, put(*SPEEDUP, "ci95", "low", value=0.0), "a speed-up of 0"),
    ("median", 4, put(*STATS, "p50_ms", value=1.99), "p50_ms is 1.99, and of its samples 2"),
    ("p90", 4, put(*STATS, "p90_ms", value=2.0), "p90_ms is 2, and of its samples 2.1"),
    ("count", 4, put(*STATS, "count", value=9000), "9000 samples are told of, 18 are there"),
    ("interval", 4, put(*STATS, "p50_ci95_ms", value=SLOW_CI), "outside of its interval 3 to 3.1"),
    ("interval of 0", 4, put(*STATS, "p50_ci95_ms", "low", value=-1), "a latency of -1 ms"),
    ("reversed", 4, put(*STATS, "p50_ci95_ms", value={"low": 2.1, "high": 1.9}), "down to 1.9"),
    ("sample", 4, put(*TIMED, "rounds_ms", 0, 0, value=-1.9), "a sample of"),
    ("no round", 4, put(*TIMED, "rounds_ms", 0, value=[]), "a round without any"),
    ("started later", 1, put("started_at", value=TOMORROW), "is in the future"),
    ("ended later", 5, put("finished_at", value="2999-01-01T00:00:00Z"), "is in the future"),
    ("without a zone", 5, put("finished_at", value="2999-01-01T00:00:00"), "is in the future"),
    ("measured later", 2, put(*TIMED, "measured_at", value=TOMORROW), "is in the future"),
    ("the teacher's", 2, put(*SPEEDUP, value={
        "value": 2, "ci95": {"low": 2, "high": 2}}), "not as fast as itself"),
    ("wider", 4, put("widths", "conv", value=9), "conv has a width of 9, of 8 in the teacher"),
    ("narrower", 4, put("widths", "conv", value=-1), "conv has a width of -1"),
    ("wider layer", 4, put("layers", "conv", value=9), "conv has 9 channels, of 8 in the teacher"),
    ("no layer", 4, put("layers", "conv", value=0), "layers.conv"),
    ("of no node", 2, put("network", 0, "inputs", value=["tail"]), "reads tail, which does not"),
    ("seconds", 4, put("seconds", "distil", value=-1.0), "distil took -1 s"),
    ("verdict", 4, put("verdict", value="missed"), "its budgets are met, and together missed"),
    ("of a device", 4, put("devices", 0, "budget_ms", value=1.0), "of 2.05 ms when the run began"),
    ("outcome", 5, put("best_turn", value=0), "the budget is met, and no turn ships"),
    ("already", 5, put("outcome", value="already-met"), "and turn 1 ships"),
    ("floor", 4, put("student", "validation_score", value=90.0), "90.00 % is worse than 95"),
    ("elsewhere", 4, put("files", value={"../model.onnx": "0"}), "no name of a file"),
    ("budget", 2, put("devices", 0, "budget_ms", value=3.0), "is not that of the plan"),
    ("other than the turn's", 5, put(*TIMED, "target", value="other"), "than turn 1 has"),
    ("another file", 4, put("files", value={"model.onnx": "1" * 64}), "than was kept"),
    ("size", 4, put("student", "size_bytes", value=0), "student.size_bytes"),
    ("plan", 1, put("plan", "max_drop", value="much"), "its plan has no max_drop"),
    ("endless", 1, put("plan", "size_mib", value=1e308), "its plan asks for what cannot be"),
    ("targets", 1, put("plan", "target", value=["a", "b"]), "is of 1 devices, the plan of 2"),
    ("no targets", 1, put("plan", "target", value=[]), "names no model, data and targets"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "change", "words"), [p[1:] for p in IMPOSSIBLE],
                         ids=[p[0] for p in IMPOSSIBLE])  # fmt: skip
def test_what_no_run_has_come_to_is_refused_with_its_line(
    journal: Path, line: int, change: Callable[[Json], object], words: str
) -> None:
    changed(journal, line, change)
    with pytest.raises(RunFolderError, match=re.escape(words)) as told:
        read_run(journal)
    assert re.search(r"journal\.jsonl:[1-5]: ", str(told.value))
    assert "\n" not in str(told.value)


def test_what_a_run_has_written_is_believed(journal: Path) -> None:
    assert len(read_run(journal)) == 5


def test_a_verdict_that_the_device_s_figures_do_not_bear_is_refused(journal: Path) -> None:
    changed(journal, 1, put("plan", "speedup", value=4.1))
    for line in (2, 4, 5):
        changed(journal, line, put("devices", 0, "budget_ms", value=1.0))
    with pytest.raises(RunFolderError, match=r"is told to have met a budget of 1 ms"):
        read_run(journal)


def test_records_of_before_kept_no_rounds_of_the_teacher(journal: Path) -> None:
    for line in (4, 5):
        # A drift between two measurements is no contradiction.
        older = {"value": 4.0, "ci95": {"low": 3.9, "high": 4.1}}
        changed(journal, line, put(*SPEEDUP, value=older))
    assert len(read_run(journal)) == 5


def test_errors_may_be_more_than_all(journal: Path) -> None:
    changed(journal, 1, put("metric", value=WORDS.model_dump()))
    changed(journal, 1, put("plan", "max_drop", value=50.0))
    changed(journal, 4, put("score_after_cut", value=130.0))
    assert len(read_run(journal)) == 5
    changed(journal, 4, put("score_after_cut", value=-1.0))
    with pytest.raises(RunFolderError, match="which must not be below 0 %"):
        read_run(journal)


def test_a_budget_of_size_is_part_of_the_verdict(journal: Path) -> None:
    size = FootprintBudget(kind="size", limit=3000.0)
    changed(journal, 2, put("footprints", value=[size.model_dump()]))
    with pytest.raises(RunFolderError, match="its budgets of size are not those of the plan"):
        read_run(journal)
    changed(journal, 1, put("plan", "size_mib", value=3000.0 / MIB))
    with pytest.raises(RunFolderError, match="its budgets are met, missed, and together met"):
        read_run(journal)
