"""Immutable, schema-versioned records: what a run writes down and every reader reads back."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, TypeAdapter, model_validator

from edgespiral.core.records.exported import (
    ComparedPicture,
    ComparedText,
    Confusion,
    DeviceCheck,
    EngineFacts,
    FileEvaluation,
    QuantisedTraining,
    RestoredLayer,
    WeightSparsity,
)
from edgespiral.core.records.footprint import Energy, Footprint, FootprintBudget, PeakMemory
from edgespiral.core.records.inspection import Network
from edgespiral.core.records.measurement import LatencyStats, Measurement, Race, Ratio, Verdict
from edgespiral.core.records.metric import Figure, Metric
from edgespiral.core.records.precisions import PrecisionMix, PrecisionTrial
from edgespiral.core.records.schema import (
    Hashes,
    Line,
    Moment,
    PositiveMs,
    Precision,
    Printable,
    Record,
    Score,
)
from edgespiral.core.records.widths import GroupCut
from edgespiral.core.stages.latencies import Stages

SCHEMA = 2


class Outcome(StrEnum):
    """How a run ended."""

    MET = "met"
    ALREADY_MET = "already-met"
    UNREACHABLE = "unreachable"
    SCORE_FLOOR = "score-floor"


class RunEvent(Record):
    """A record of a journal. Those of before, which do not say their schema, are of schema 1."""

    schema_version: Literal[2] = 2


class OnDevice(Record):
    """A model on one of a run's devices, measured in pairs with the teacher there.

    The speed-up is that of the measurement's samples. `budget_ms` is that device's, None where no
    latency is asked for; `verdict` says whether it is met, and `predicted_ms` what was expected.
    `memory` and `energy` are there where the plan limits them; those of candidates are not
    measured. Where whole frames are timed, the teacher's record has the `stages` around the
    network, and `whole` is that of a frame with the model, None where a stage is not known;
    `budget_ms` is then what is left for the network.
    """

    budget_ms: PositiveMs | None
    measurement: Measurement
    speedup: Ratio
    predicted_ms: float | None = None
    verdict: Verdict | None = None
    memory: PeakMemory | None = None
    energy: Energy | None = None
    stages: Stages | None = None
    whole: LatencyStats | None = None

    @model_validator(mode="after")
    def _speedup_is_of_samples(self) -> Self:
        self.speedup.require_of(self.measurement)
        return self

    @property
    def target(self) -> str:
        """The device's name."""
        return self.measurement.target


# In the plan's order.
OnDevices = Annotated[tuple[OnDevice, ...], Field(min_length=1)]


class ModelFacts(Record):
    """What is known of one model of a run, apart from devices. Scores are of the run's metric.

    They are those of the file that was measured, and `evaluation` says how they were found; None
    in journals of before, whose fp32 files have the scores of PyTorch. `precision` is read from
    the file, as the target runs it. `float_score` is the PyTorch model's on the validation split
    where the file is in a lower precision. `beside` is what else the task tells of the test split.
    """

    validation_score: Score
    precision: Precision = "fp32"
    float_score: Score | None = None
    evaluation: FileEvaluation | None = None
    test_score: Score | None = None
    beside: tuple[Figure, ...] = ()
    parameter_count: int = Field(ge=0)
    size_bytes: int = Field(ge=1)


class RunStarted(RunEvent):
    """First record of a journal: the plan and everything needed to do it again.

    `metric` is what all scores of the run are of, and `timed` says what of the model is cut and
    timed, where that is not all of it. `recipe_sha256` is of what the plan's recipe says, and
    `data_files` are the hashes of texts that ship beside the model, such as its vocabulary. `said`
    are the fields of the plan that were given, None in journals of before; the others are what a
    default or a rule made of them.
    """

    kind: Literal["run-started"] = "run-started"
    plan: dict[str, object]
    said: tuple[Line, ...] | None = None
    plan_sha256: str
    teacher_sha256: str
    teacher_model_sha256: str | None = None
    metric: Metric
    timed: Line = ""
    recipe_sha256: str | None = None
    data_files: Hashes = Field(default_factory=dict)
    versions: dict[str, str]
    command: str
    started_at: Moment


class Baseline(RunEvent):
    """The teacher, measured: where the run starts from.

    `files` has the hashes of what lies in the teacher's folder, `validation_sha256` is of the
    samples that all of the run is scored on, and `doubts` are what speaks against its figures.
    `footprints` are the budgets of size. `network` is the teacher as it is drawn, none in journals
    of before.
    """

    kind: Literal["baseline"] = "baseline"
    teacher: ModelFacts
    widths: dict[str, int]
    devices: OnDevices
    files: Hashes = Field(default_factory=dict)
    validation_sha256: str | None = None
    doubts: tuple[str, ...] = ()
    footprints: tuple[FootprintBudget, ...] = ()
    network: Network = ()


class RuntimeChosen(RunEvent):
    """The teacher by every runtime that each target's device has; the winner runs the students."""

    kind: Literal["runtime-chosen"] = "runtime-chosen"
    races: tuple[Race, ...]


class PrecisionChosen(RunEvent):
    """The precision that the run's students are built and measured in, and why."""

    kind: Literal["precision-chosen"] = "precision-chosen"
    precision: Precision
    reason: str
    trials: tuple[PrecisionTrial, ...]
    mixes: tuple[PrecisionMix, ...] = ()


class Candidate(RunEvent):
    """An untrained candidate measured on the devices while a turn was planned.

    `footprint` is of its file and its parameters; None in journals of before.
    """

    kind: Literal["candidate"] = "candidate"
    turn: int
    precision: Precision = "fp32"
    widths: dict[str, int]
    devices: OnDevices
    footprint: Footprint | None = None


class Sibling(Record):
    """A model that the plan's `family` names, untrained, beside the teacher on each device.

    `verdict` is that of all the run's budgets together.
    """

    name: Line
    devices: OnDevices
    footprint: Footprint
    verdict: Verdict


class FamilyMeasured(RunEvent):
    """How the run's own turns ended (older journals lack it), the siblings, and who is trained."""

    kind: Literal["family-measured"] = "family-measured"
    siblings: tuple[Sibling, ...] = Field(min_length=1)
    trained: Line | None
    outcome: Outcome | None = None
    best_turn: int = 0
    message: str = ""


class TurnPlanned(RunEvent):
    """The widths a turn will cut to, and the epochs to come.

    `compared` counts the cuts that were compared as a whole, these widths among them. `target_ms`
    is in the first target's time; for each other device, and for a size, it is the same share of
    its own budget. Where no latency is asked for, time is taken to go with size. `expected_lost`
    is what the student was predicted to lose of the metric, where that was the goal.
    `reused_layers` and `reused_models` count the rows of the latency cache that the latency model
    learned from. `sibling` is what the plan's `family` calls the model that is trained in place of
    a cut, which has no widths.
    """

    kind: Literal["turn-planned"] = "turn-planned"
    turn: int
    target_ms: PositiveMs
    widths: dict[str, int]
    importance_lost: float
    epochs: float
    expected_lost: Score | None = None
    compared: int = 0
    cuts: tuple[GroupCut, ...] = ()
    reused_layers: int = 0
    reused_models: int = 0
    sibling: Line = ""


class TriedRate(Record):
    """A learning rate that was tried over a few steps, `factor` times what suits so many by rule.

    `loss` is on training samples that were held out; None where the training diverged.
    """

    learning_rate: float = Field(gt=0)
    factor: float = Field(gt=0)
    steps: int = Field(ge=1)
    loss: float | None


class RateChosen(RunEvent):
    """The highest learning rate of a turn's training, where the plan leaves it open, and why."""

    kind: Literal["rate-chosen"] = "rate-chosen"
    turn: int
    learning_rate: float = Field(gt=0)
    reason: str
    tried: tuple[TriedRate, ...] = ()


class TurnFinished(RunEvent):
    """One finished turn: cut, distilled, exported and measured.

    `verdict` is that of all budgets together: met where each is, missed where any is. `optimizer`
    is what trained the student, and why; empty where nothing did, and in journals of before.
    `sibling` is the model's name where it is one of the plan's `family` and no cut. `layers` has
    the channels that each layer of the student writes, by module; none in journals of before.
    """

    kind: Literal["turn-finished"] = "turn-finished"
    turn: int
    parent: int
    widths: dict[str, int]
    criterion: str
    pruner: str
    student: ModelFacts
    devices: OnDevices
    quantised_training: QuantisedTraining | None = None
    restored: tuple[RestoredLayer, ...] = ()
    score_after_cut: Score
    verdict: Verdict
    epochs: float
    optimizer: Line = ""
    seconds: dict[str, float]
    files: Hashes
    seed: int
    finished_at: Moment
    sparsity: WeightSparsity | None = None
    sibling: Line = ""
    layers: dict[Printable, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)


class RunFinished(RunEvent):
    """Last record of a journal: `devices` have the best turn's student, or the teacher for turn 0.

    `doubts` are those that only the test split raised. Figures beside are of the test split, too,
    what the task reports besides its metric. `confusions` are the commonest, of so many test
    samples as `confusion_samples` says.
    """

    kind: Literal["run-finished"] = "run-finished"
    outcome: Outcome
    message: str
    best_turn: int
    teacher_test_score: Score
    student_test_score: Score
    teacher_beside: tuple[Figure, ...] = ()
    student_beside: tuple[Figure, ...] = ()
    devices: OnDevices
    engine: EngineFacts | None = None
    finished_at: Moment
    doubts: tuple[str, ...] = ()
    device_checks: tuple[DeviceCheck, ...] = ()
    pictures: tuple[ComparedPicture, ...] = ()
    texts: tuple[ComparedText, ...] = ()
    confusions: tuple[Confusion, ...] = ()
    confusion_samples: int = 0


class ExplorationPlanned(RunEvent):
    """The latencies that an exploration looks for cuts at, the slowest first.

    They are in the first target's time, as `TurnPlanned.target_ms` is. `start_ms` is the uncut
    model's in the precision of the cuts, and `fastest_ms` the narrowest cut of one turn.
    """

    kind: Literal["exploration-planned"] = "exploration-planned"
    start_ms: PositiveMs
    fastest_ms: PositiveMs
    targets_ms: tuple[PositiveMs, ...] = Field(min_length=1)


class PointExplored(RunEvent):
    """The best cut that was found for one latency: built, measured at length, and not trained.

    `divergence_nats` is what it does to the teacher's outputs, and `weight_share` how many of the
    weights it keeps. `speedups` are those that a run is to ask for, by target, so that it lands
    where this cut did.
    """

    kind: Literal["point-explored"] = "point-explored"
    target_ms: PositiveMs
    precision: Precision
    widths: dict[str, int]
    devices: OnDevices
    speedups: dict[str, Annotated[float, Field(gt=0)]]
    divergence_nats: float = Field(ge=0)
    weight_share: float = Field(gt=0, le=1)
    compared: int = 0


class PointOutOfReach(RunEvent):
    """A latency that no cut of one turn reaches; the fastest that was measured takes longer."""

    kind: Literal["point-out-of-reach"] = "point-out-of-reach"
    target_ms: PositiveMs
    fastest_ms: PositiveMs


class TrainedCut(Record):
    """A cut of the same teacher that a finished run trained, and what came of it.

    `lost` is by how much its score on the validation split is worse than the teacher's, in the
    metric's unit.
    """

    run: Line
    turn: int
    epochs: float
    divergence_nats: float = Field(ge=0)
    weight_share: float = Field(gt=0, le=1)
    lost: Score


class LossCalibrated(RunEvent):
    """The trained cuts that say what a divergence costs; the last such record counts."""

    kind: Literal["loss-calibrated"] = "loss-calibrated"
    cuts: tuple[TrainedCut, ...]


Event = Annotated[
    RunStarted
    | RuntimeChosen
    | Baseline
    | PrecisionChosen
    | Candidate
    | FamilyMeasured
    | TurnPlanned
    | RateChosen
    | TurnFinished
    | RunFinished
    | ExplorationPlanned
    | PointExplored
    | PointOutOfReach
    | LossCalibrated,
    Field(discriminator="kind"),
]
EVENT: TypeAdapter[Event] = TypeAdapter(Event)
