"""A run as its journal tells it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from edgespiral.core.errors import RunFolderError
from edgespiral.core.records import (
    Baseline,
    Candidate,
    Interval,
    PrecisionChosen,
    RunFinished,
    RunStarted,
    TurnFinished,
    TurnPlanned,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgespiral.core.records import Event, Measurement, ModelFacts, Precision, Ratio


@dataclass(frozen=True)
class Timing:
    """A model's median latency with its 95 % interval, in ms, fit to be held against the budget."""

    latency_ms: float
    ci95_ms: Interval


@dataclass(frozen=True)
class Run:
    """The records of one run, sorted out."""

    started: RunStarted
    baseline: Baseline | None
    chosen: PrecisionChosen | None
    candidates: tuple[Candidate, ...]
    planned: dict[int, TurnPlanned]
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
            candidates=tuple(e for e in events if isinstance(e, Candidate)),
            planned={e.turn: e for e in events if isinstance(e, TurnPlanned)},
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
    def student_latency(self) -> Measurement | None:
        """The samples of the result, or None where no turn was finished."""
        if self.finished is not None:
            return self.finished.final
        return self.best.student.latency if self.best else None

    @property
    def precision(self) -> Precision:
        """What students ship in; fp32 for journals that do not say."""
        return self.chosen.precision if self.chosen else "fp32"

    @property
    def max_drop(self) -> float:
        """Accuracy points that the plan allows to lose."""
        return float(str(self.started.plan["max_drop"]))

    def seconds(self) -> dict[str, float]:
        """Seconds per phase, over all finished turns."""
        totals: dict[str, float] = defaultdict(float)
        for turn in self.turns:
            for phase, seconds in turn.seconds.items():
                totals[phase] += seconds
        return dict(totals)

    def timing(self, facts: ModelFacts, speedup: Ratio) -> Timing:
        """Latency in the terms of the budget.

        Where the budget is a speed-up it is the teacher's median over the paired ratio, which a
        drift of the machine between two measurements does not touch; else the median itself.
        """
        stats = facts.latency.stats
        if self.started.plan.get("speedup") is None or self.baseline is None:
            return Timing(stats.p50_ms, stats.p50_ci95_ms)
        teacher_ms = self.baseline.teacher.latency.stats.p50_ms
        ci95 = speedup.ci95
        interval = Interval(low=teacher_ms / ci95.high, high=teacher_ms / ci95.low)
        return Timing(teacher_ms / speedup.value, interval)

    def prediction_error(self) -> float | None:
        """Median distance of predicted from measured candidates, as a share; None without any."""
        if self.baseline is None:
            return None
        teacher_ms = self.baseline.teacher.latency.stats.p50_ms
        pairs = [
            (candidate.predicted_ms, teacher_ms / candidate.speedup.value)
            for candidate in self.candidates
            if candidate.predicted_ms is not None
        ]
        return median(abs(guess / real - 1) for guess, real in pairs) if pairs else None
