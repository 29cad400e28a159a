"""Records of what was measured on a device: samples in short, the device, layers."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import Field

from edgespiral.core.records.exported import OutputParity
from edgespiral.core.records.schema import PositiveMs, Record, Told


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


class LatencyStats(Record):
    """Order statistics of latency samples, in milliseconds.

    A percentile is None where the sample count cannot carry it (see core/statistics/stats.py).
    """

    count: int = Field(ge=1)
    p50_ms: PositiveMs
    p50_ci95_ms: Interval
    p90_ms: PositiveMs | None
    p99_ms: PositiveMs | None


class Fingerprint(Record):
    """Everything about the device and the runtime that a latency figure depends on."""

    device: Told
    architecture: Told
    operating_system: Told
    cores: int
    governor: Told | None = None
    power_mode: Told | None = None
    temperature_before_c: float | None = None
    temperature_after_c: float | None = None
    frequency_before_mhz: float | None = None
    frequency_after_mhz: float | None = None
    runtime: Told
    runtime_version: Told
    provider: Told
    threads: int
    affinity: tuple[int, ...] | None = None
    precision: Told


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

    name: Told
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
    or, for the latter two, other models were loaded beside it.
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
    measured_at: datetime
    parts: tuple[PartLatency, ...] = ()


class Ratio(Record):
    """A paired latency ratio (reference / subject): above 1 the subject is faster."""

    value: float = Field(gt=0)
    ci95: Interval


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

    runtime: Told
    precision: Told
    threads: int = Field(ge=1)
    measurement: Measurement | None = None
    speedup: Ratio | None = None
    parity: OutputParity | None = None
    refused: Told | None = None


class Race(Record):
    """All rows, in the order of their latency, those without one last.

    `reference` is the place of the row that the others are compared with, and `winner` of the
    fastest that is faster than it for certain, else of the reference. `samples` says what the
    outputs were compared on.
    """

    schema_version: Literal[1] = 1
    target: Told
    model: Told
    samples: Told
    rows: tuple[RaceRow, ...] = Field(min_length=1)
    reference: int = Field(ge=0)
    winner: int = Field(ge=0)

    @property
    def won(self) -> RaceRow:
        """The winner's row."""
        return self.rows[self.winner]
