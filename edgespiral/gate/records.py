"""Records of `edgespiral bench`: what a suite's models were measured at and judged by."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from edgespiral.core.records.measurement import SAME, Interval, Measurement, Verdict
from edgespiral.core.records.schema import Moment, PositiveMs, Printable, Record

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

    @model_validator(mode="after")
    def _verdict_follows(self) -> Self:
        # Of the tail, the value and the resamples are not of one statistic.
        if self.kind != "tail":
            self.bounds.require_around(self.value, self.kind)
        decided = verdict_of(self.bounds, self.limit)
        is_open = self.verdict not in (Verdict.MET, Verdict.MISSED)
        if self.limit is not None and not is_open and self.verdict is not decided:
            raise ValueError(f"{self.kind} is {self.verdict}, and by its interval {decided}")
        return self


class Measured(Record):
    """A model's samples, and the number of rounds that each measuring process contributed.

    Rounds of one process are alike in what differs between processes.
    """

    measurement: Measurement | None = None
    processes: Processes = ()

    @model_validator(mode="after")
    def _samples_are_whole(self) -> Self:
        rounds_ms = self.measurement.rounds_ms if self.measurement else ()
        if sum(self.processes) != len(rounds_ms):
            raise ValueError(f"{len(rounds_ms)} rounds in processes of {list(self.processes)}")
        return self


class Reference(Measured):
    """What a model was compared with.

    `paired`: measured in turns with the model, in the same processes; else read from a baseline.
    """

    label: Printable
    measurement: Measurement
    paired: bool


class CaseResult(Measured):
    """One model of a suite, measured and judged, or the error in place of that.

    `is_new`: there was nothing to compare it with, and the suite lets it be so.
    """

    name: Printable
    model: Printable
    verdict: Verdict
    shapes: dict[str, tuple[int, ...]] = Field(default_factory=dict)
    interface: tuple[Printable, ...] = ()
    reference: Reference | None = None
    checks: tuple[Check, ...] = ()
    is_new: bool = False
    error: Printable | None = None
    seconds: float = Field(ge=0)

    @model_validator(mode="after")
    def _figures_agree(self) -> Self:
        verdicts = [check.verdict for check in self.checks] or [self.verdict]
        if self.error is None and self.verdict is not gravest(verdicts):
            raise ValueError(f"its checks come to {gravest(verdicts)}, and it is {self.verdict}")
        for check in self.checks:
            if check.kind == "budget" and self.measurement is not None:
                medians_ms = [np.median(samples_ms) for samples_ms in self.measurement.rounds_ms]
                middle_ms = float(np.median(medians_ms))
                if not math.isclose(check.value, middle_ms, rel_tol=SAME):
                    raise ValueError(
                        f"a median of {check.value:g} ms, which by its rounds is {middle_ms:g} ms"
                    )
        return self

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
    suite: Printable
    target: Printable
    verdict: Verdict
    cases: tuple[CaseResult, ...] = Field(min_length=1)
    git_commit: Printable | None
    git_dirty: bool | None
    versions: dict[str, str]
    command: Printable
    finished_at: Moment

    @model_validator(mode="after")
    def _verdict_is_the_gravest(self) -> Self:
        come_to = gravest([case.verdict for case in self.cases])
        if self.verdict is not come_to:
            raise ValueError(f"its models come to {come_to}, and it is {self.verdict}")
        return self


class HistoryPoint(Record):
    """What one stored result says of one model; `change_percent` is against its reference then."""

    at: Moment
    commit: Printable | None
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
    differences: tuple[Printable, ...]


class Trend(Record):
    """One model over stored results, oldest first."""

    suite: Printable
    target: Printable
    model: Printable
    points: tuple[HistoryPoint, ...] = Field(min_length=1)
    shifts: tuple[Shift, ...] = ()
    breaks: tuple[Break, ...] = ()


class History(Record):
    """What `edgespiral bench history` found."""

    schema_version: Literal[1] = 1
    trends: tuple[Trend, ...] = Field(min_length=1)


def verdict_of(bounds: Interval, limit: float | None) -> Verdict:
    """Met where the whole interval is within the limit, missed where it is above."""
    if limit is None:
        return Verdict.MEASURED
    if bounds.high <= limit:
        return Verdict.MET
    return Verdict.MISSED if bounds.low > limit else Verdict.UNDECIDED


def gravest(verdicts: list[Verdict]) -> Verdict:
    """What several verdicts come to: missed, error, undecided, met, measured, in this order."""
    return next(verdict for verdict in GRAVEST_FIRST if verdict in verdicts)
