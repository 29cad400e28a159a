"""What was measured to choose the precision of a run's students."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from edgespiral.core.records.measurement import Measurement, Ratio
from edgespiral.core.records.schema import PositiveMs, Precision, Record, Score


class PrecisionTrial(Record):
    """The uncut teacher in one precision: what it keeps, and how fast it is in pairs with fp32.

    `rounding_nats` is the mean Kullback-Leibler divergence of its outputs from the fp32 ones, the
    unit in which cuts are priced too. `refused` says why `auto` leaves it out.
    """

    precision: Precision
    validation_score: Score
    speedup: Ratio
    rounding_nats: float = Field(ge=0)
    measurement: Measurement
    refused: str | None = None

    @model_validator(mode="after")
    def _speedup_is_of_samples(self) -> Self:
        self.speedup.require_of(self.measurement)
        return self


class PrecisionMix(Record):
    """A cut to the budget in one precision, measured on the device before any training.

    `latency_ms` is above the budget where no cut in this precision meets it; nothing is known of
    its loss then. It is None where the run has a budget of size.
    """

    precision: Precision
    latency_ms: PositiveMs | None
    widths: dict[str, int]
    cut_nats: float | None
    rounding_nats: float

    @property
    def lost_nats(self) -> float | None:
        """What cutting and rounding lose together before training."""
        return None if self.cut_nats is None else self.cut_nats + self.rounding_nats
