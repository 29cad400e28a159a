"""Records of `edgespiral bench`: what a suite's models were measured at and judged by."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from edgespiral.core.records.measurement import Interval, Measurement, Verdict
from edgespiral.core.records.schema import PositiveMs, Record, Told

SCHEMA = 2

Processes = tuple[Annotated[int, Field(ge=1)], ...]


# What a suite comes to is the first of these that any of its models has.
GRAVEST_FIRST = (
    Verdict.MISSED,
    Verdict.ERROR,
    Verdict.UNDECIDED,
    Verdict.MET,
    Verdict.MEASURED,
)


class Check(Record):
    """One judgement of a model.

    `budget`: the median in ms against an absolute limit. `median` and `tail` (p99): the change
    against the reference in percent, above 0 where the model became slower. A limit of None is
    reported and not judged. `drift_percent`: by how much the latency changed while it was measured,
    where that keeps a budget undecided.
    """

    kind: Literal["budget", "median", "tail"]
    verdict: Verdict
    value: float
    bounds: Interval
    limit: float | None
    drift_percent: float | None = None


class Measured(Record):
    """A model's samples, and the number of rounds that each measuring process contributed.

    Rounds of one process are alike in what differs between processes.
    """

    measurement: Measurement | None = None
    processes: Processes = ()

    @model_validator(mode="after")
    def _samples_are_whole(self) -> Self:
        rounds_ms = self.measurement.rounds_ms if self.measurement else ()
        if self.measurement and not (rounds_ms and all(rounds_ms)):
            raise ValueError("there are no samples, or a round without any")
        if sum(self.processes) != len(rounds_ms):
            raise ValueError(f"{len(rounds_ms)} rounds in processes of {list(self.processes)}")
        return self


class Reference(Measured):
    """What a model was compared with.

    `paired`: measured in turns with the model, in the same processes; else read from a baseline.
    """

    label: Told
    measurement: Measurement
    paired: bool


class CaseResult(Measured):
    """One model of a suite, measured and judged, or the error in place of that.

    `is_new`: there was nothing to compare it with, and the suite lets it be so.
    """

    name: Told
    model: Told
    verdict: Verdict
    shapes: dict[str, tuple[int, ...]] = Field(default_factory=dict)
    interface: tuple[Told, ...] = ()
    reference: Reference | None = None
    checks: tuple[Check, ...] = ()
    is_new: bool = False
    error: Told | None = None
    seconds: float = Field(ge=0)

    def as_reference(self, label: str) -> Reference | None:
        """This result as what a later one is compared with; None where it was not measured."""
        if self.measurement is None:
            return None
        return Reference(
            label=label,
            measurement=self.measurement,
            processes=self.processes,
            paired=False,
        )


class BenchResult(Record):
    """A suite's outcome, as written to JSON, stored as a baseline and read back."""

    schema_version: Literal[2] = 2
    suite: Told
    target: Told
    verdict: Verdict
    cases: tuple[CaseResult, ...] = Field(min_length=1)
    git_commit: Told | None
    git_dirty: bool | None
    versions: dict[str, str]
    command: Told
    finished_at: datetime


class HistoryPoint(Record):
    """What one stored result says of one model; `change_percent` is against its reference then."""

    at: datetime
    commit: Told | None
    p50_ms: PositiveMs
    ci95_ms: Interval
    change_percent: float | None
    verdict: Verdict


class Shift(Record):
    """From the point `index` on, the level is another: medians in ms before and after."""

    index: int = Field(ge=1)
    before_ms: PositiveMs
    after_ms: PositiveMs

    @property
    def percent(self) -> float:
        """The change of the level, above 0 where the model became slower."""
        return 100 * (self.after_ms / self.before_ms - 1)


class Break(Record):
    """From the point `index` on, it was measured otherwise: latencies do not compare across."""

    index: int = Field(ge=1)
    differences: tuple[Told, ...]


class Trend(Record):
    """One model over stored results, oldest first."""

    suite: Told
    target: Told
    model: Told
    points: tuple[HistoryPoint, ...] = Field(min_length=1)
    shifts: tuple[Shift, ...] = ()
    breaks: tuple[Break, ...] = ()


class History(Record):
    """What `edgespiral bench history` found."""

    schema_version: Literal[1] = 1
    trends: tuple[Trend, ...] = Field(min_length=1)


def gravest(verdicts: list[Verdict]) -> Verdict:
    """What several verdicts come to: missed, error, undecided, met, measured, in this order."""
    return next(verdict for verdict in GRAVEST_FIRST if verdict in verdicts)
