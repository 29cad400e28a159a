"""`result.json`: the machine-readable outcome of a run."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edgespiral.core.records.events import (
    ModelFacts,
    Outcome,
    TriedRate,
)
from edgespiral.core.records.exported import (
    DeviceCheck,
    EngineFacts,
    QuantisedTraining,
    RestoredLayer,
    WeightSparsity,
)
from edgespiral.core.records.footprint import Energy, PeakMemory
from edgespiral.core.records.measurement import (
    LatencyStats,
    Measurement,
    Race,
    Ratio,
    Verdict,
)
from edgespiral.core.records.metric import Metric
from edgespiral.core.records.precisions import PrecisionMix, PrecisionTrial
from edgespiral.core.records.schema import Line, PositiveMs, Precision, Record, Score
from edgespiral.core.records.widths import GroupCut
from edgespiral.core.stages.latencies import Stages


class DeviceResult(Record):
    """What a run reached on one of its devices; no `budget_ms` where no latency was asked for.

    `memory` and `energy` are the result's where the plan limits them, and `verdict` is that of the
    latency alone.
    Where whole frames are timed, `stages` are those around the network, and `whole_before` and
    `whole_after` a frame with the teacher and with the result; None where a stage is not known.
    """

    target: str
    budget_ms: PositiveMs | None
    verdict: Verdict
    speedup: Ratio
    teacher: Measurement
    student: Measurement
    memory: PeakMemory | None = None
    energy: Energy | None = None
    stages: Stages | None = None
    whole_before: LatencyStats | None = None
    whole_after: LatencyStats | None = None


class BudgetMargin(Record):
    """A budget, what the result takes of it (`value`, in `unit`), and by how much it is within.

    `margin` is below 0 where it is not: of the limit, in percent, or for a score in its own unit.
    A score's limit is the worst that is allowed on the validation split.
    """

    name: str
    unit: str
    limit: float
    value: float
    margin: float
    margin_unit: str
    verdict: Verdict


class TurnCuts(Record):
    """What each cut of a turn lost and bought."""

    turn: int
    cuts: tuple[GroupCut, ...]


class TurnRate(Record):
    """The highest learning rate that was found for a turn's training, and why that one."""

    turn: int
    learning_rate: float = Field(gt=0)
    reason: str
    tried: tuple[TriedRate, ...] = ()


class SiblingResult(Record):
    """A model of the plan's `family`: how fast it is, by target, and what came of its training.

    There is no score of one that was not trained.
    """

    name: Line
    speedups: dict[str, Ratio]
    parameter_count: int
    verdict: Verdict
    validation_score: Score | None
    ships: bool


class Result(Record):
    """The outcome of a run.

    `metric` is what all scores are of. `devices` are in the plan's order, `budgets` all that the
    run was to hold: latencies, memory, sizes, and the score. `cuts` and
    `learning_rates` are those of the turns that led to the best one; there are none of the latter
    where the plan has the rate. `optimizer` trained the best turn's student, and why that one.
    `doubts` speak against the figures. `family` are models that were tried in a cut's place; where
    one of them ships, there are no `widths_after`.
    """

    schema_version: Literal[2] = 2
    outcome: Outcome
    message: str
    exit_code: int
    metric: Metric
    devices: tuple[DeviceResult, ...] = Field(min_length=1)
    budgets: tuple[BudgetMargin, ...] = ()
    precision: Precision = "fp32"
    races: tuple[Race, ...] = ()
    precision_trials: tuple[PrecisionTrial, ...] = ()
    precision_mixes: tuple[PrecisionMix, ...] = ()
    quantised_training: QuantisedTraining | None = None
    restored: tuple[RestoredLayer, ...] = ()
    best_turn: int
    teacher: ModelFacts
    student: ModelFacts
    widths_before: dict[str, int]
    widths_after: dict[str, int]
    cuts: tuple[TurnCuts, ...] = ()
    learning_rates: tuple[TurnRate, ...] = ()
    optimizer: str = ""
    turns: int
    seconds: dict[str, float]
    sparsity: WeightSparsity | None = None
    family: tuple[SiblingResult, ...] = ()
    engine: EngineFacts | None = None
    device_checks: tuple[DeviceCheck, ...] = ()
    files: dict[str, str]
    doubts: tuple[str, ...] = ()
    plan: dict[str, object]
    versions: dict[str, str]
    command: str
