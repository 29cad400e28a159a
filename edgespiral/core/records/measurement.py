"""Records of what was measured on a device: samples in short, the device, layers."""

from __future__ import annotations

import math
from enum import StrEnum
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from edgespiral.core.records.exported import OutputParity
from edgespiral.core.records.schema import Moment, PositiveMs, Printable, Record

if TYPE_CHECKING:
    from collections.abc import Iterable

# A figure and what it is reckoned from differ by no more than the order of sums.
SAME = 1e-6
# That a device may have.
MOST_CORES = 2**20
# Where an inference waits longer, medians of long ones hold that wait, and those of short ones not.
MOST_WAITED_SHARE = 0.1


class Verdict(StrEnum):
    """What measurements say about a limit: a run's budget, or one of a gate's.

    A gate has two more: it could not be measured (`error`), or there was nothing to judge it by
    (`measured`), neither a budget nor a reference.
    """

    MET = "met"
    MISSED = "missed"
    UNDECIDED = "undecided"
    ERROR = "error"
    MEASURED = "measured"


class Interval(Record):
    """A confidence interval, of 95 % unless it says otherwise."""

    low: float
    high: float
    confidence: float = Field(default=0.95, gt=0, lt=1)

    @model_validator(mode="after")
    def _low_is_below_high(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"an interval from {self.low:g} down to {self.high:g}")
        return self

    def require_around(self, value: float, what: str) -> None:
        """Refuse an interval that does not hold the figure that it is of.

        Raises:
            ValueError: so it is.
        """
        margin = SAME * abs(value)
        if not self.low - margin <= value <= self.high + margin:
            raise ValueError(
                f"{what} {value:g} is outside of its interval {self.low:g} to {self.high:g}"
            )


class LatencyStats(Record):
    """Order statistics of latency samples, in milliseconds.

    A percentile is None where the sample count cannot carry it (see core/statistics/stats.py).
    """

    count: int = Field(ge=1)
    p50_ms: PositiveMs
    p50_ci95_ms: Interval
    p90_ms: PositiveMs | None
    p99_ms: PositiveMs | None

    @model_validator(mode="after")
    def _figures_are_in_order(self) -> Self:
        if self.p50_ci95_ms.low <= 0:
            raise ValueError(f"a latency of {self.p50_ci95_ms.low:g} ms")
        self.p50_ci95_ms.require_around(self.p50_ms, "p50_ms")
        return self

    def require_of(self, rounds_ms: tuple[tuple[float, ...], ...]) -> None:
        """Refuse figures that are not those of the samples.

        Args:
            rounds_ms: all of them.

        Raises:
            ValueError: a figure is another, or a sample is no latency.
        """
        samples_ms = np.fromiter(chain.from_iterable(rounds_ms), np.float64)
        if not (rounds_ms and all(rounds_ms)):
            raise ValueError("there are no samples, or a round without any")
        if samples_ms.size != self.count:
            raise ValueError(f"{self.count} samples are told of, {samples_ms.size} are there")
        if samples_ms.min() <= 0:
            raise ValueError(f"a sample of {samples_ms.min():g} ms")
        by_percent = {50: self.p50_ms, 90: self.p90_ms, 99: self.p99_ms}
        percents = [percent for percent, value in by_percent.items() if value is not None]
        for percent, own_ms in zip(percents, np.percentile(samples_ms, percents), strict=True):
            if not math.isclose(by_percent[percent] or 0.0, own_ms, rel_tol=SAME):
                raise ValueError(
                    f"p{percent}_ms is {by_percent[percent]:g}, and of its samples {own_ms:g}"
                )


class Fingerprint(Record):
    """Everything about the device and the runtime that a latency figure depends on."""

    device: Printable
    architecture: Printable
    operating_system: Printable
    cores: int = Field(le=MOST_CORES)
    governor: Printable | None = None
    power_mode: Printable | None = None
    temperature_before_c: float | None = None
    temperature_after_c: float | None = None
    frequency_before_mhz: float | None = None
    frequency_after_mhz: float | None = None
    runtime: Printable
    runtime_version: Printable
    provider: Printable
    threads: int = Field(ge=0, le=MOST_CORES)
    affinity: tuple[int, ...] | None = None
    precision: Printable


# What must be the same for two latencies to be held against each other; temperature, frequency and
# kernel release may differ.
DECISIVE = (
    "device",
    "architecture",
    "cores",
    "governor",
    "power_mode",
    "runtime",
    "runtime_version",
    "provider",
    "threads",
    "affinity",
    "precision",
)


def differences(before: Fingerprint | None, now: Fingerprint) -> list[str]:
    """How device, power mode, runtime or threads differ: `threads was 1, is 2`."""
    return [
        f"{name.replace('_', ' ')} was {getattr(before, name, None)}, is {getattr(now, name)}"
        for name in DECISIVE
        if getattr(before, name, None) != getattr(now, name)
    ]


class PartLatency(Record):
    """A part of a model that runs in parts: how often for a sample, and one run of it."""

    name: Printable
    count: int = Field(ge=1)
    p50_ms: PositiveMs


class Measurement(Record):
    """The latency of one model on one target, with its raw samples.

    `rounds_ms` holds the samples in the order taken, one tuple per round; models measured
    together alternate round by round, so rounds of equal index are pairs. Of a model that runs in
    `parts` a sample is the sum of count times latency (`stats.summed`); of the parts' own the
    medians are kept, of the process that measured last.

    `load_ms` is the median time to load it, `peak_memory_mib` what the measuring process had
    resident at most, with the runtime and its interpreter, `cold_start_ms` the time from nothing,
    the runtime not loaded either, to the end of its first inference; None where that is not told,
    or, for the latter two, other models were loaded beside it. `waited_share` is the share of the
    time of its samples in which it was ready to run and had no core; of parts that of the part that
    waited most, of several processes that of the one.
    """

    target: str
    model_sha256: str
    stats: LatencyStats
    rounds_ms: tuple[tuple[float, ...], ...]
    warmup_count: int
    load_ms: PositiveMs | None = None
    peak_memory_mib: float | None = None
    cold_start_ms: PositiveMs | None = None
    fingerprint: Fingerprint
    measured_at: Moment
    parts: tuple[PartLatency, ...] = ()
    waited_share: Annotated[float, Field(ge=0, le=1)] | None = None

    @property
    def doubts(self) -> tuple[str, ...]:
        """What speaks against the latency."""
        if (self.waited_share or 0.0) <= MOST_WAITED_SHARE:
            return ()
        return (
            f"on {self.target} other programs took the core for {self.waited_share:.0%} of the "
            "time: latencies are too long, and speed-ups too high; stop them, and measure again",
        )

    @model_validator(mode="after")
    def _figures_are_of_samples(self) -> Self:
        self.stats.require_of(self.rounds_ms)
        return self


def doubts_about(measurements: Iterable[Measurement]) -> tuple[str, ...]:
    """What speaks against the latencies of some models, each doubt once."""
    return tuple(dict.fromkeys(chain.from_iterable(own.doubts for own in measurements)))


class Ratio(Record):
    """A paired latency ratio (reference / subject): above 1 the subject is faster.

    `reference_ms` has the median of each of the reference's rounds, which pair with the subject's;
    none in records of before.
    """

    value: float = Field(gt=0)
    ci95: Interval
    reference_ms: tuple[PositiveMs, ...] = ()

    @model_validator(mode="after")
    def _interval_holds_value(self) -> Self:
        if self.ci95.low <= 0:
            raise ValueError(f"a speed-up of {self.ci95.low:g}")
        self.ci95.require_around(self.value, "value")
        return self

    def require_of(self, subject: Measurement) -> None:
        """Refuse a ratio that is not that of the reference's rounds and the subject's.

        Raises:
            ValueError: it is another.
        """
        if not self.reference_ms:
            return
        if len(self.reference_ms) != len(subject.rounds_ms):
            raise ValueError(
                f"{len(self.reference_ms)} rounds are paired with {len(subject.rounds_ms)}"
            )
        medians_ms = [np.median(samples_ms) for samples_ms in subject.rounds_ms]
        ratio = float(np.median(np.divide(self.reference_ms, medians_ms)))
        if not math.isclose(self.value, ratio, rel_tol=SAME):
            raise ValueError(f"a speed-up of {self.value:g}, which by its rounds is {ratio:g}")


class LayerLatency(Record):
    """One layer's time inside a profiled run.

    Shapes are NCHW (convolution) or (N, features). A recurrent layer has inputs (T, N, features),
    outputs (T, directions, N, hidden) and, in each direction, weights (gates * hidden, features).
    """

    operator: Literal["conv", "gemm", "lstm", "gru", "rnn"]
    input_shape: tuple[int, ...]
    weight_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    latency_ms: float = Field(ge=0, le=1e8)


class RaceRow(Record):
    """One way to run the model, with its figure or the reason why there is none.

    `precision` is what was computed in, `speedup` in pairs with the race's reference, and `parity`
    None where the runtime does not tell what a model computes.
    """

    runtime: Printable
    precision: Printable
    threads: int = Field(ge=1)
    measurement: Measurement | None = None
    speedup: Ratio | None = None
    parity: OutputParity | None = None
    refused: Printable | None = None

    @model_validator(mode="after")
    def _speedup_is_of_samples(self) -> Self:
        if self.speedup is not None and self.measurement is not None:
            self.speedup.require_of(self.measurement)
        return self


class Race(Record):
    """All rows, in the order of their latency, those without one last.

    `reference` is the place of the row that the others are compared with, and `winner` of the
    fastest that is faster than it for certain, else of the reference. `samples` says what the
    outputs were compared on.
    """

    schema_version: Literal[1] = 1
    target: Printable
    model: Printable
    samples: Printable
    rows: tuple[RaceRow, ...] = Field(min_length=1)
    reference: int = Field(ge=0)
    winner: int = Field(ge=0)

    @model_validator(mode="after")
    def _winner_is_the_fastest(self) -> Self:
        rows = dict(enumerate(self.rows))
        for place in (self.reference, self.winner):
            if place not in rows or rows[place].measurement is None:
                raise ValueError(f"row {place} has no figure, and is the reference or the winner")
        faster = [at for at, row in rows.items() if row.speedup and row.speedup.ci95.low > 1]
        if self.winner != next(iter(faster), self.reference):
            raise ValueError(f"row {self.winner} has not won")
        return self

    @property
    def won(self) -> RaceRow:
        """The winner's row."""
        return self.rows[self.winner]
