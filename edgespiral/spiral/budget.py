"""The latency budget: an absolute time, or a speed-up over the teacher; one for each device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgespiral.core.records import Interval, Verdict
from edgespiral.core.stats import verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgespiral.core.records import Measurement, Ratio
    from edgespiral.spiral.plan import Plan


@dataclass(frozen=True)
class Budget:
    """What a measurement is held against.

    A speed-up is judged by the paired ratio to the teacher, measured alternately with it, because
    a noisy machine's absolute times drift and paired ratios do not.
    """

    latency_ms: float
    speedup: float | None

    @classmethod
    def from_plan(cls, plan: Plan, target: str, teacher_ms: float) -> Budget:
        """The plan's budget for one of its targets, given the teacher's latency there."""
        [(kind, value)] = plan.budget_of(target).items()
        return cls(teacher_ms / value, value) if kind == "speedup" else cls(value, None)

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


@dataclass(frozen=True)
class Budgets:
    """The budgets of a run's devices, in the plan's order."""

    each: tuple[Budget, ...]
    targets: tuple[str, ...]

    @classmethod
    def from_plan(cls, plan: Plan, teacher_ms: Sequence[float]) -> Budgets:
        """The plan's budgets, given the teacher's latency on each target."""
        pairs = zip(plan.targets, teacher_ms, strict=True)
        return cls(tuple(Budget.from_plan(plan, *pair) for pair in pairs), plan.targets)

    @property
    def latency_ms(self) -> float:
        """Of the first device, in whose time a run of several is planned."""
        return self.each[0].latency_ms

    def verdicts(self, found: Sequence[tuple[Measurement, Ratio]]) -> list[Verdict]:
        """What each device's measurement says of its own budget."""
        return [budget.verdict(*one) for budget, one in zip(self.each, found, strict=True)]

    def __str__(self) -> str:
        """The budgets as a person would say them."""
        if len(self.each) == 1:
            return str(self.each[0])
        named = zip(self.each, self.targets, strict=True)
        return ", ".join(f"{budget} on {target}" for budget, target in named)


def joined(verdicts: Sequence[Verdict]) -> Verdict:
    """One verdict of several: met where all are, missed where any is."""
    gravest_first = (Verdict.MISSED, Verdict.UNDECIDED)
    return next((one for one in gravest_first if one in verdicts), Verdict.MET)
