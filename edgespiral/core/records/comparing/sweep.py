"""`sweep.json`: many runs of one teacher beside each other, and which of them are worth a look."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edgespiral.core.records.events import Outcome
from edgespiral.core.records.measurement import Interval
from edgespiral.core.records.metric import Metric
from edgespiral.core.records.schema import Line, PositiveMs, Precision, Record, Score


class SweptDevice(Record):
    """What a run's student takes on one of its targets, in pairs with the teacher.

    `energy_mj` is that of an inference, where the run's plan limits it.
    """

    target: str
    latency_ms: PositiveMs
    ci95_ms: Interval
    speedup: float = Field(gt=0)
    energy_mj: float | None = Field(default=None, gt=0)


class SweptRun(Record):
    """One run of a sweep.

    `values` are those that it has of what the sweep varies. A run that failed has its `problem`, a
    line; one that has not ended has neither that nor an outcome.
    """

    name: Line
    folder: str
    values: dict[str, object]
    problem: Line | None = None
    outcome: Outcome | None = None
    exit_code: int | None = None
    precision: Precision | None = None
    validation_score: Score | None = None
    test_score: Score | None = None
    size_bytes: int | None = None
    parameter_count: int | None = None
    devices: tuple[SweptDevice, ...] = ()
    widths: dict[str, int] = Field(default_factory=dict)


class SweptPoint(Record):
    """Runs on one target that differ by their seed alone.

    The latency is the median of theirs, and its interval covers all of theirs; the score is their
    mean on the test split, with Student's 95 % interval from two seeds on. `on_front` says whether
    no other point of the target is at once as fast, as small and as good, and takes as little
    energy where all of their runs have measured it.
    """

    target: str
    values: dict[str, object]
    runs: tuple[Line, ...] = Field(min_length=1)
    latency_ms: PositiveMs
    latency_ci95_ms: Interval
    score: Score
    score_ci95: Interval | None
    size_bytes: float
    energy_mj: float | None = None
    on_front: bool


class Sweep(Record):
    """All runs of a sweep, ended or not.

    `vary` has the values of each field that they differ by, those that a search has tried among
    them; `best` names, of a search, the run of each combination that met its budget with the best
    score on the validation split.
    """

    schema_version: Literal[1] = 1
    plan: dict[str, object]
    vary: dict[str, tuple[object, ...]]
    metric: Metric | None
    runs: tuple[SweptRun, ...]
    points: tuple[SweptPoint, ...] = ()
    best: tuple[Line, ...] = ()
    command: str
