"""The latency budget: an absolute time, or a speed-up over the teacher."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgespiral.core.records import Interval, Verdict
from edgespiral.core.stats import verdict

if TYPE_CHECKING:
    from edgespiral.core.plan import Plan
    from edgespiral.core.records import Measurement, Ratio


@dataclass(frozen=True)
class Budget:
    """What a measurement is held against.

    A speed-up is judged by the paired ratio to the teacher, measured alternately with it, because
    a noisy machine's absolute times drift and paired ratios do not.
    """

    latency_ms: float
    speedup: float | None

    @classmethod
    def from_plan(cls, plan: Plan, teacher_ms: float) -> Budget:
        """The plan's budget, given the teacher's measured latency."""
        if plan.speedup is not None:
            return cls(teacher_ms / plan.speedup, plan.speedup)
        assert plan.latency_ms is not None
        return cls(plan.latency_ms, None)

    def verdict(self, measurement: Measurement, speedup: Ratio) -> Verdict:
        """Met or missed where the whole 95 % interval is on one side, else undecided."""
        if self.speedup is None:
            return verdict(measurement.stats.p50_ci95_ms, self.latency_ms)
        times = Interval(low=1 / speedup.ci95.high, high=1 / speedup.ci95.low)
        return verdict(times, 1 / self.speedup)

    def __str__(self) -> str:
        """The budget as a person would say it."""
        if self.speedup is None:
            return f"{self.latency_ms:.3g} ms"
        return f"{self.latency_ms:.3g} ms ({self.speedup:g}x faster)"
