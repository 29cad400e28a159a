"""A run as its journal tells it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import chain
from statistics import median
from typing import TYPE_CHECKING

from edgespiral.core.errors import RunFolderError
from edgespiral.core.records.events import (
    Baseline,
    Candidate,
    FamilyMeasured,
    PrecisionChosen,
    RateChosen,
    RunFinished,
    RunStarted,
    RuntimeChosen,
    TurnFinished,
    TurnPlanned,
)
from edgespiral.core.records.measurement import Interval, Verdict, doubts_about
from edgespiral.core.statistics.stats import verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgespiral.core.records.events import (
        Event,
        OnDevice,
    )
    from edgespiral.core.records.footprint import Energy, PeakMemory
    from edgespiral.core.records.measurement import LatencyStats, Measurement, Ratio
    from edgespiral.core.records.metric import Metric
    from edgespiral.core.records.schema import Precision
    from edgespiral.core.stages.latencies import Stages


@dataclass(frozen=True)
class Timing:
    """A model's median latency with its 95 % interval, in ms, fit to be held against the budget."""

    latency_ms: float
    ci95_ms: Interval


@dataclass(frozen=True)
class OnTarget:
    """What a run reached on one of its targets."""

    budget_ms: float | None
    speedup: Ratio
    teacher: Measurement
    student: Measurement
    timing: Timing
    decided: Verdict | None = None
    memory: PeakMemory | None = None
    energy: Energy | None = None
    stages: Stages | None = None
    whole_before: LatencyStats | None = None
    whole_after: LatencyStats | None = None

    @property
    def target(self) -> str:
        """Its name."""
        return self.teacher.target

    @property
    def verdict(self) -> Verdict:
        """Whether the result meets the budget there: as the run decided, where it did."""
        if self.budget_ms is None:
            return Verdict.MET
        return self.decided or verdict(self.timing.ci95_ms, self.budget_ms)


@dataclass(frozen=True)
class Run:
    """The records of one run, sorted out."""

    started: RunStarted
    baseline: Baseline | None
    chosen: PrecisionChosen | None
    raced: RuntimeChosen | None
    candidates: tuple[Candidate, ...]
    planned: dict[int, TurnPlanned]
    rates: dict[int, RateChosen]
    family: FamilyMeasured | None
    turns: tuple[TurnFinished, ...]
    finished: RunFinished | None

    @classmethod
    def of(cls, events: Sequence[Event]) -> Run:
        """Sort out a journal.

        Raises:
            RunFolderError: the journal is empty or does not begin with a run's start.
        """
        if not events or not isinstance(events[0], RunStarted):
            raise RunFolderError(
                "the journal holds no run", hint="name the folder of a run, or start one"
            )
        return cls(
            started=events[0],
            baseline=next((e for e in events if isinstance(e, Baseline)), None),
            chosen=next((e for e in events if isinstance(e, PrecisionChosen)), None),
            raced=next((e for e in events if isinstance(e, RuntimeChosen)), None),
            candidates=tuple(e for e in events if isinstance(e, Candidate)),
            planned={e.turn: e for e in events if isinstance(e, TurnPlanned)},
            rates={e.turn: e for e in events if isinstance(e, RateChosen)},
            family=next((e for e in events if isinstance(e, FamilyMeasured)), None),
            turns=tuple(e for e in events if isinstance(e, TurnFinished)),
            finished=next((e for e in events if isinstance(e, RunFinished)), None),
        )

    @property
    def best(self) -> TurnFinished | None:
        """The turn whose student is the result; of an unfinished run the last; None for none."""
        if self.finished is None:
            return self.turns[-1] if self.turns else None
        return next((t for t in self.turns if t.turn == self.finished.best_turn), None)

    @property
    def doubts(self) -> tuple[str, ...]:
        """What speaks against the run's figures, as far as it has come."""
        measured = (self.baseline, self.best)
        parts = (
            (self.baseline.doubts if self.baseline else ()),
            doubts_about(own.measurement for event in measured if event for own in event.devices),
            (self.finished.doubts if self.finished else ()),
        )
        return tuple(chain(*parts))

    @property
    def student_latency(self) -> Measurement | None:
        """The samples of the result, or None where no turn was finished."""
        event = self.finished or self.best
        return self.shown(event.devices).measurement if event else None

    @property
    def precision(self) -> Precision:
        """What students ship in, as a file that was scored says; without one, what was chosen."""
        if self.best is not None and self.best.student.evaluation is not None:
            return self.best.student.precision
        return self.chosen.precision if self.chosen else "fp32"

    @property
    def lineage(self) -> tuple[TurnFinished, ...]:
        """The turns that led to the best one, in order, and itself."""
        by_number = {turn.turn: turn for turn in self.turns}
        turns: list[TurnFinished] = []
        turn = self.best
        while turn is not None:
            turns.append(turn)
            turn = by_number.get(turn.parent)
        return tuple(reversed(turns))

    @property
    def metric(self) -> Metric:
        """What scores are."""
        return self.started.metric

    @property
    def max_drop(self) -> float:
        """What the plan allows to lose, in the metric's unit."""
        return float(str(self.started.plan["max_drop"]))

    def seconds(self) -> dict[str, float]:
        """Seconds per phase, over all finished turns."""
        totals: dict[str, float] = defaultdict(float)
        for turn in self.turns:
            for phase, seconds in turn.seconds.items():
                totals[phase] += seconds
        return dict(totals)

    @staticmethod
    def shown(devices: Sequence[OnDevice]) -> OnDevice:
        """Of a record's devices the one whose figures charts and tables show: the first.

        What was reached on each has a table of its own.
        """
        return devices[0]

    def timing(self, device: OnDevice) -> Timing:
        """Latency on the device that is shown, in the terms of the budget.

        Where the budget is a time it is the median itself; else the teacher's median over the
        paired ratio, which a drift of the machine between two measurements does not touch.
        """
        if self.baseline is None:
            stats = device.measurement.stats
            return Timing(stats.p50_ms, stats.p50_ci95_ms)
        return self._timing(0, self.shown(self.baseline.devices).measurement, device)

    @property
    def target(self) -> str:
        """The run's targets, as a person would list them."""
        return ", ".join(self._targets)

    def devices(self) -> list[OnTarget]:
        """The result on each of the run's targets; none before the teacher is measured."""
        if self.baseline is None:
            return []
        teachers = self.baseline.devices
        students = self.best.devices if self.best else teachers
        return [
            OnTarget(
                budget_ms=teacher.budget_ms,
                speedup=student.speedup,
                teacher=teacher.measurement,
                student=student.measurement,
                timing=self._timing(index, teacher.measurement, student),
                decided=student.verdict,
                memory=student.memory,
                energy=student.energy,
                stages=teacher.stages,
                whole_before=teacher.whole,
                whole_after=student.whole,
            )
            for index, (teacher, student) in enumerate(zip(teachers, students, strict=True))
        ]

    @property
    def _targets(self) -> tuple[str, ...]:
        named = self.started.plan["target"]
        return tuple(map(str, named)) if isinstance(named, list) else (str(named),)

    def _timing(self, index: int, teacher: Measurement, student: OnDevice) -> Timing:
        if self._is_absolute(self._targets[index]):
            stats = student.measurement.stats
            return Timing(stats.p50_ms, stats.p50_ci95_ms)
        teacher_ms, ci95 = teacher.stats.p50_ms, student.speedup.ci95
        interval = Interval(low=teacher_ms / ci95.high, high=teacher_ms / ci95.low)
        return Timing(teacher_ms / student.speedup.value, interval)

    def _is_absolute(self, target: str) -> bool:
        """Whether the budget of `target` is a latency in milliseconds."""
        budgets = {kind: self.started.plan.get(kind) for kind in ("latency_ms", "speedup")}
        named = [
            kind for kind, value in budgets.items() if isinstance(value, dict) and target in value
        ]
        for_all = [kind for kind, value in budgets.items() if isinstance(value, int | float)]
        return (named or for_all) == ["latency_ms"]

    @property
    def has_budget(self) -> bool:
        """Whether there was something to reach beside what may be lost."""
        kinds = ("latency_ms", "speedup", "size_mib", "parameters")
        return any(self.started.plan.get(kind) is not None for kind in kinds)

    @property
    def is_planned_in_ms(self) -> bool:
        """Whether what turns aim at is a latency, and not a size alone."""
        if self.baseline is None:
            return False
        is_sized = self.baseline.footprints or self.started.plan.get("smallest")
        return self.shown(self.baseline.devices).budget_ms is not None or not is_sized

    def prediction_error(self) -> float | None:
        """Median distance of predicted from measured candidates, as a share; None without any."""
        if self.baseline is None:
            return None
        teacher_ms = self.shown(self.baseline.devices).measurement.stats.p50_ms
        candidates = [self.shown(candidate.devices) for candidate in self.candidates]
        pairs = [
            (device.predicted_ms, teacher_ms / device.speedup.value)
            for device in candidates
            if device.predicted_ms is not None
        ]
        return median(abs(guess / real - 1) for guess, real in pairs) if pairs else None
