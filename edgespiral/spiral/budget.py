"""What a run is to reach: a latency on each device, a size of what ships, or the score alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgespiral.core.records.footprint import energy_text, memory_text
from edgespiral.core.records.measurement import (
    Interval,
    Verdict,
)
from edgespiral.core.stages.latencies import NOTHING_LEFT_MS, network_ms
from edgespiral.core.statistics.intervals import ratio_interval, round_medians, sign_median
from edgespiral.core.statistics.stats import verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edgespiral.core.records.footprint import FootprintBudget, HasFootprint
    from edgespiral.core.records.measurement import Measurement
    from edgespiral.core.stages.latencies import Stages
    from edgespiral.measure.beside.limits import Limit
    from edgespiral.measure.decide import Paired


@dataclass(frozen=True)
class Budget:
    """What a measurement on one device is held against; nothing, where no latency is asked for.

    A speed-up is judged by the paired ratio to the teacher, measured alternately with it, because
    a noisy machine's absolute times drift and paired ratios do not.

    Attributes:
        latency_ms: of the network.
        speedup: of the network, where it is judged by that.
        around_ms: what else a frame takes, where the budget was for the whole.
        whole_ms: of the whole, where it was.
    """

    latency_ms: float | None
    speedup: float | None
    around_ms: float = 0.0
    whole_ms: float | None = None

    @classmethod
    def of(
        cls, budget: Mapping[str, float], teacher_ms: float, stages: Stages | None = None
    ) -> Budget:
        """The budget for a target, given the teacher's latency there.

        Args:
            budget: one value, `latency_ms` or `speedup`, as `Plan.budget_of`, or none.
            teacher_ms: of the network alone.
            stages: around it, where the budget is for a whole frame: it is less what they take.

        Raises:
            MeasurementError: one of the stages is not known.
        """
        for kind, value in budget.items():
            if stages is not None:
                return cls._of_frame(kind, value, teacher_ms, stages.most_ms)
            return cls(teacher_ms / value, value) if kind == "speedup" else cls(value, None)
        return cls(None, None)

    @classmethod
    def _of_frame(cls, kind: str, value: float, teacher_ms: float, around_ms: float) -> Budget:
        """What a budget for a whole frame leaves for the network."""
        is_ratio = kind == "speedup"
        whole_ms = (teacher_ms + around_ms) / value if is_ratio else value
        left_ms = network_ms(whole_ms, around_ms)
        speedup = teacher_ms / left_ms if is_ratio else None
        return cls(left_ms, speedup, around_ms, whole_ms)

    @property
    def out_of_reach(self) -> str:
        """That the stages around the network leave nothing for it; else nothing."""
        if self.latency_ms is None or self.latency_ms > NOTHING_LEFT_MS:
            return ""
        return (
            f"what runs before and after the network takes {self.around_ms:.3g} ms, and nothing is "
            "left for the network"
        )

    def verdict(self, pair: Paired, confidence: float) -> Verdict:
        """Met or missed where the whole interval is on one side, else undecided.

        Args:
            pair: the model, measured in turns with the teacher.
            confidence: of the interval, from 0 to 1.
        """
        if self.latency_ms is None:
            return Verdict.MET
        if self.speedup is None:
            medians = round_medians(pair.subject.rounds_ms)
            return verdict(sign_median(medians, confidence), self.latency_ms)
        rounds_ms = pair.reference.rounds_ms, pair.subject.rounds_ms
        ratio = ratio_interval(*rounds_ms, confidence)
        return verdict(Interval(low=1 / ratio.high, high=1 / ratio.low), 1 / self.speedup)

    def __str__(self) -> str:
        """The budget as a person would say it."""
        if self.latency_ms is None:
            return ""
        if self.speedup is None:
            return f"{self.latency_ms:.3g} ms{self._rest}"
        return f"{self.latency_ms:.3g} ms ({self.speedup:.4g}x faster){self._rest}"

    @property
    def _rest(self) -> str:
        return (
            "" if self.whole_ms is None else f" for the network of {self.whole_ms:.3g} ms a frame"
        )


@dataclass(frozen=True)
class Budgets:
    """The budgets of a run: of its devices, in the plan's order, and of how large what ships is.

    Attributes:
        teacher_ms: the teacher's latency on the first device.
        footprints: budgets of size, each with the share of it that the teacher takes.
        memory_mib: of the process that runs a model, on all devices or on some by their names.
        stages: around the network on each device, where whole frames are timed.
        energy_mj: of an inference, on all devices or on some by their names.
    """

    each: tuple[Budget, ...]
    targets: tuple[str, ...]
    teacher_ms: float
    footprints: tuple[tuple[FootprintBudget, float], ...] = ()
    memory_mib: Limit = None
    stages: tuple[Stages | None, ...] = ()
    energy_mj: Limit = None

    @classmethod
    def of(
        cls,
        latencies: Mapping[str, Mapping[str, float]],
        measured: Sequence[Measurement],
        teacher: HasFootprint | None = None,
        footprints: Sequence[FootprintBudget] = (),
        *,
        memory_mib: Limit = None,
        stages: Sequence[Stages | None] = (),
        energy_mj: Limit = None,
    ) -> Budgets:
        """The budgets of a run.

        Args:
            latencies: of latency, by target, as `Plan.budgets`.
            measured: the teacher on each target.
            teacher: how large it is; needed where there are `footprints`.
            footprints: how large the student may be.
            memory_mib: how much memory the process may take that runs it; None for no limit.
            stages: around the network on each target, where budgets are for whole frames.
            energy_mj: how much an inference may take; None for no limit.

        Raises:
            MeasurementError: a stage is not known on a target that has a latency to reach.
        """
        around = tuple(stages) or (None,) * len(measured)
        each = tuple(
            Budget.of(own, measurement.stats.p50_ms, own_stages)
            for own, measurement, own_stages in zip(
                latencies.values(), measured, around, strict=True
            )
        )
        shares = [(budget, budget.share(teacher)) for budget in footprints] if teacher else []
        teacher_ms = measured[0].stats.p50_ms
        return cls(
            each=each,
            targets=tuple(latencies),
            teacher_ms=teacher_ms,
            footprints=tuple(shares),
            memory_mib=memory_mib,
            stages=around,
            energy_mj=energy_mj,
        )

    @property
    def out_of_reach(self) -> str:
        """That on a device the stages around the network leave nothing for it; else nothing."""
        for budget, target in zip(self.each, self.targets, strict=True):
            if budget.out_of_reach:
                frame = f"{budget.whole_ms:.3g} ms for a frame"
                return f"{frame} is out of reach on {target}: {budget.out_of_reach}"
        return ""

    @property
    def goal_ms(self) -> float:
        """Where the run is to get, in the first device's time, in which all of it is planned.

        Where no latency is asked for, a model is planned as if its latency went with its size:
        the teacher has its own, and what is as large as it may be has its share of that.
        """
        latency_ms = self.each[0].latency_ms
        if latency_ms is not None:
            return latency_ms
        return self.teacher_ms / max((share for _, share in self.footprints), default=1.0)

    def verdicts(self, pairs: Sequence[Paired], confidence: float) -> list[Verdict]:
        """What each device's measurement says of its own budget, at a confidence from 0 to 1."""
        matched = zip(self.each, pairs, strict=True)
        return [budget.verdict(pair, confidence) for budget, pair in matched]

    def footprint_verdicts(self, model: HasFootprint) -> list[Verdict]:
        """Whether `model` is within each budget of size."""
        return [budget.verdict(model) for budget, _ in self.footprints]

    def __str__(self) -> str:
        """The budgets as a person would say them."""
        latencies = [text for budget in self.each if (text := str(budget))]
        if len(latencies) > 1:
            named = zip(latencies, self.targets, strict=True)
            latencies = [f"{budget} on {target}" for budget, target in named]
        sizes = [str(budget) for budget, _ in self.footprints]
        memory = limit_texts(self.memory_mib, memory_text)
        energy = limit_texts(self.energy_mj, energy_text)
        return ", ".join([*latencies, *sizes, *memory, *energy])


def limit_texts(limit: Limit, text: Callable[[float], str]) -> list[str]:
    """A limit in words, of each device that has one of its own."""
    if isinstance(limit, Mapping):
        return [f"{text(own)} on {target}" for target, own in limit.items()]
    return [] if limit is None else [text(limit)]


def joined(verdicts: Sequence[Verdict]) -> Verdict:
    """One verdict of several: met where all are, missed where any is."""
    gravest_first = (Verdict.MISSED, Verdict.UNDECIDED)
    return next((verdict for verdict in gravest_first if verdict in verdicts), Verdict.MET)
