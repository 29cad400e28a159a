"""The latency budget: an absolute time, or a speed-up over the teacher; one for each device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgespiral.core.records.measurement import (
    Interval,
    Verdict,
)
from edgespiral.core.statistics.intervals import ratio_interval, round_medians, sign_median
from edgespiral.core.statistics.stats import verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edgespiral.core.records.measurement import Measurement
    from edgespiral.measure.decide import Paired


@dataclass(frozen=True)
class Budget:
    """What a measurement is held against.

    A speed-up is judged by the paired ratio to the teacher, measured alternately with it, because
    a noisy machine's absolute times drift and paired ratios do not.
    """

    latency_ms: float
    speedup: float | None

    @classmethod
    def of(cls, asked: Mapping[str, float], teacher_ms: float) -> Budget:
        """The budget for a target, given the teacher's latency there.

        Args:
            asked: one value, `latency_ms` or `speedup`, as `Plan.budget_of`.
        """
        [(kind, value)] = asked.items()
        return cls(teacher_ms / value, value) if kind == "speedup" else cls(value, None)

    def verdict(self, pair: Paired, confidence: float) -> Verdict:
        """Met or missed where the whole interval is on one side, else undecided.

        Args:
            pair: the model, measured in turns with the teacher.
            confidence: of the interval, from 0 to 1.
        """
        if self.speedup is None:
            medians = round_medians(pair.subject.rounds_ms)
            return verdict(sign_median(medians, confidence), self.latency_ms)
        rounds_ms = pair.reference.rounds_ms, pair.subject.rounds_ms
        ratio = ratio_interval(*rounds_ms, confidence)
        return verdict(Interval(low=1 / ratio.high, high=1 / ratio.low), 1 / self.speedup)

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
    def of(
        cls, asked: Mapping[str, Mapping[str, float]], teacher: Sequence[Measurement]
    ) -> Budgets:
        """The budgets by target, as `Plan.budgets`, given the teacher's measurement on each."""
        pairs = zip(asked.values(), teacher, strict=True)
        return cls(tuple(Budget.of(own, one.stats.p50_ms) for own, one in pairs), tuple(asked))

    @property
    def latency_ms(self) -> float:
        """Of the first device, in whose time a run of several is planned."""
        return self.each[0].latency_ms

    def verdicts(self, pairs: Sequence[Paired], confidence: float) -> list[Verdict]:
        """What each device's measurement says of its own budget, at a confidence from 0 to 1."""
        matched = zip(self.each, pairs, strict=True)
        return [budget.verdict(pair, confidence) for budget, pair in matched]

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
