"""The records of a run that was never made: a teacher, two turns, and an end."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from example_records import NOON, measurement, ratio

from edgespiral.core.records.events import (
    Baseline,
    ModelFacts,
    OnDevice,
    Outcome,
    RateChosen,
    RunFinished,
    RunStarted,
    TurnFinished,
    TurnPlanned,
)
from edgespiral.core.records.journal import Journal
from edgespiral.core.records.measurement import Verdict
from edgespiral.core.records.metric import Metric
from edgespiral.core.system.files import make_folder
from edgespiral.spiral.plan import Plan, plan_sha256

if TYPE_CHECKING:
    from pathlib import Path


def facts(score: float, parameters: int) -> ModelFacts:
    return ModelFacts(validation_score=score, parameter_count=parameters, size_bytes=4 * parameters)


def devices(p50_ms: float, speedup: float) -> tuple[OnDevice, ...]:
    return (
        OnDevice(
            budget_ms=4.0, measurement=measurement(p50_ms), speedup=ratio(speedup),
            verdict=Verdict.MET if p50_ms <= 4 else Verdict.MISSED,
        ),
    )  # fmt: skip


def turn(number: int, score: float, p50_ms: float) -> list[Any]:
    """The records of a turn."""
    planned = TurnPlanned(
        turn=number, target_ms=p50_ms, widths={"a": 8}, importance_lost=0.1, epochs=2.0
    )
    finished = TurnFinished(
        turn=number, parent=number - 1, widths={"a": 8}, criterion="fisher", pruner="nni",
        student=facts(score, 2**18 // number), devices=devices(p50_ms, 8 / p50_ms),
        score_after_cut=score - 10, verdict=devices(p50_ms, 8 / p50_ms)[0].verdict, epochs=2.0,
        seconds={"train": 3.5}, files={}, seed=0, finished_at=NOON,
    )  # fmt: skip
    rate = RateChosen(turn=number, learning_rate=0.1 / number, reason="by rule")
    return [planned, rate, finished]


def run_records(score: float = 88.5, outcome: Outcome = Outcome.MET) -> list[Any]:
    """Of a whole run in order, whose second turn's student has this score on validation."""
    started = RunStarted(
        plan=json.loads(Plan(model="n.py:net", data="x", speedup=2.0).model_dump_json()),
        plan_sha256="0" * 64, teacher_sha256="1" * 64, metric=Metric(name="word error", unit="%"),
        versions={"torch": "2.13.0"}, command="edgespiral compress net.py:net", started_at=NOON,
    )  # fmt: skip
    baseline = Baseline(teacher=facts(90.0, 2**18), widths={"a": 16}, devices=devices(8.0, 1.0))
    finished = RunFinished(
        outcome=outcome, message="met", best_turn=2, teacher_test_score=91.0,
        student_test_score=89.5, devices=devices(4.0, 2.0), finished_at=NOON,
    )  # fmt: skip
    return [started, baseline, *turn(1, 89.0, 6.0), *turn(2, score, 4.0), finished]


def write_ended(
    folder: Path, plan: Plan, records: list[Any] | None = None, teacher_sha256: str = "1" * 64
) -> None:
    """Write the journal of a run of this plan and teacher that has ended."""
    started, *others = run_records() if records is None else records
    begun = {"plan_sha256": plan_sha256(plan), "teacher_sha256": teacher_sha256}
    journal = Journal(make_folder(folder) / "journal.jsonl")
    for record in (started.model_copy(update=begun), *others):
        journal.append(record)
