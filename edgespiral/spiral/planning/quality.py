"""The fastest, or smallest, student that loses no more than is allowed, by few trainings.

What a cut will lose once its student is trained is predicted from its divergence before training,
which planning knows of every latency: in proportion, by what students that were trained have lost.
So each student is aimed at what is predicted to lose a little less than is allowed, and each
brackets the goal more closely (regula falsi on the divergence).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from edgespiral.core.records.events import Outcome
from edgespiral.core.records.widths import Widths
from edgespiral.spiral.policy import End, Next, finished_turns
from edgespiral.spiral.schedule import LARGEST_STEP, SMALLEST_STEP

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edgespiral.core.records.events import Baseline, Event, TurnFinished
    from edgespiral.spiral.planning.search import Planned
    from edgespiral.spiral.policy import Rules

# The first student's latency over the teacher's, before anything is known.
FIRST_SHARE = 0.5
# Of what may be lost, what a student is aimed at: predictions err, and so do validation splits.
AIM = 0.8
# A student that lost less than this share of it tells little of how much more will.
LEAST_TOLD = 0.1
# How far into a bracket the next student is, of its width in log latency, at least.
LEAST_INSIDE = 0.2
MOST_STUDENTS = 6
BISECTIONS = 12


class Trained(NamedTuple):
    """A trained student, or the teacher as turn 0: its latency, what it lost, and whether it holds.

    `nats` is what cutting to its latency was predicted to lose before training.
    """

    turn: int
    latency_ms: float
    lost: float
    holds: bool
    nats: float


class Repeated(NamedTuple):
    """A cut that was planned once more: which turn trained it, and what planning measured of it."""

    turn: int
    latency_ms: float


class Aim(NamedTuple):
    """What the next student is to take, and what it is predicted to lose, if that is known."""

    latency_ms: float
    lost: float | None


@dataclass(frozen=True)
class QualityGoal:
    """What is looked for, and what is known of it before any training.

    Attributes:
        start_ms: of the uncut model.
        fastest_ms: no cut is faster.
        max_drop: what may be lost, in the metric's unit.
        divergence: of the cut to a latency, in nats before training; infinite where none is as
            fast.
        most_students: that may be trained.
        of_size: "latencies" are sizes: shares of the teacher's size, in its time.
        slowest_ms: no cut that was not trained yet is slower.

    Example:
        >>> goal = QualityGoal(8.0, 1.0, 1.0, lambda latency_ms: 8.0 / latency_ms - 1)
        >>> goal.aim([])
        Aim(latency_ms=4.0, lost=None)
        >>> first = Trained(1, 4.0, 2.0, False, 1.0)
        >>> round(goal.aim([first]).latency_ms, 1)
        5.7
    """

    start_ms: float
    fastest_ms: float
    max_drop: float
    divergence: Callable[[float], float]
    most_students: int = MOST_STUDENTS
    of_size: bool = False
    slowest_ms: float = math.inf

    def best(self, trained: Sequence[Trained]) -> Trained:
        """The fastest that holds; the teacher where none does."""
        teacher = Trained(0, self.start_ms, 0.0, holds=True, nats=0.0)
        return min((t for t in (teacher, *trained) if t.holds), key=lambda t: t.latency_ms)

    def past(self, repeated: Repeated, aimed_ms: float, trained: Sequence[Trained]) -> QualityGoal:
        """The same goal, where what was aimed at `aimed_ms` is a cut that was trained before.

        Widths are coarse, so nothing else lies between the two latencies: what holds is looked for
        above both where that student had failed, and below both where it is the best or slower.
        """
        again, best = next(t for t in trained if t.turn == repeated.turn), self.best(trained)
        if not again.holds and again.latency_ms < best.latency_ms:
            return replace(self, fastest_ms=max(self.fastest_ms, aimed_ms))
        below_ms = min(repeated.latency_ms, aimed_ms)
        return replace(self, slowest_ms=min(self.slowest_ms, below_ms))

    def aim(self, trained: Sequence[Trained]) -> Aim | None:
        """Where the next student is to be; None where another is not worth its training."""
        best = self.best(trained)
        failed = [t for t in trained if not t.holds and t.latency_ms < best.latency_ms]
        nearest = max(failed, key=lambda t: t.latency_ms, default=None)
        limit_ms = nearest.latency_ms if nearest else self.fastest_ms
        limit_ms = max(limit_ms, self.fastest_ms)
        from_ms = min(best.latency_ms, self.slowest_ms)
        if len(trained) >= self.most_students or from_ms / limit_ms < SMALLEST_STEP:
            return None
        if not trained:
            return Aim(max(FIRST_SHARE * self.start_ms, self.fastest_ms), None)
        slope = _slope(best, nearest, LEAST_TOLD * self.max_drop)
        wanted = self._wanted(best)
        nats = best.nats + (wanted - best.lost) / slope if slope else LARGEST_STEP * best.nats
        predicted_ms = self._latency_of(nats, best)
        latency_ms = _clipped(predicted_ms, from_ms, limit_ms, is_failed=nearest is not None)
        if not slope:
            return Aim(latency_ms, None)
        lost = best.lost + slope * (self.divergence(latency_ms) - best.nats)
        return Aim(latency_ms, max(0.0, lost))

    def _wanted(self, best: Trained) -> float:
        """What the next student is to lose."""
        aimed = AIM * self.max_drop
        return aimed if best.lost < aimed else (best.lost + self.max_drop) / 2

    def _latency_of(self, nats: float, best: Trained) -> float:
        """The latency at which a cut is predicted to lose so many nats, by bisection."""
        slow, fast = math.log(best.latency_ms), math.log(self.fastest_ms)
        for _ in range(BISECTIONS):
            middle = (slow + fast) / 2
            if self.divergence(math.exp(middle)) > nats:
                fast = middle
            else:
                slow = middle
        return math.exp(slow)


def _clipped(latency_ms: float, from_ms: float, limit_ms: float, *, is_failed: bool) -> float:
    """`latency_ms`, well inside of what is bracketed and not too far in one step."""
    inside = (from_ms / limit_ms) ** LEAST_INSIDE if is_failed else 1.0
    least = max(limit_ms * inside, from_ms / LARGEST_STEP)
    most = from_ms / max(SMALLEST_STEP, inside)
    return max(least, min(most, latency_ms))


def _slope(best: Trained, failed: Trained | None, least_told: float) -> float | None:
    """Points lost a nat around the goal; None where what was trained does not tell."""
    if failed is not None:
        nats = failed.nats - best.nats
        lost = failed.lost - best.lost
        return lost / nats if nats > 0 and lost > 0 and math.isfinite(nats) else None
    return best.lost / best.nats if best.nats > 0 and best.lost > least_told else None


def repeated(planned: Planned, turns: Sequence[TurnFinished]) -> Repeated | None:
    """That one of `turns` has trained a student of the planned widths.

    With another seed it could hold by luck what it has failed, and it tells nothing new.
    """
    same = next((done.turn for done in turns if Widths(done.widths) == planned.widths), None)
    return None if same is None else Repeated(same, planned.latency_ms)


def trained_students(
    rules: Rules, goal: QualityGoal, baseline: Baseline, events: Sequence[Event]
) -> list[Trained]:
    """The students of a run's turns."""
    before, floor = baseline.teacher.validation_score, rules.floor(baseline)
    students = []
    for done in finished_turns(events):
        share = _size_share(baseline, done) if goal.of_size else _latency_share(done)
        latency_ms = share * rules.schedule.budget_ms
        score = done.student.validation_score
        lost, holds = rules.metric.lost(before, score), rules.metric.holds(score, floor)
        nats = goal.divergence(latency_ms)
        students.append(Trained(done.turn, latency_ms, lost, holds, nats))
    return students


def next_student(
    rules: Rules, goal: QualityGoal, baseline: Baseline, events: Sequence[Event]
) -> Next | End:
    """What to do after the turns in `events`, where there is no budget.

    Each student is cut from the teacher, so that predictions are of one kind; further off than
    `LARGEST_STEP`, from the fastest that holds.
    """
    trained = trained_students(rules, goal, baseline, events)
    best, aim = goal.best(trained), goal.aim(trained)
    if aim is None:
        return _end(rules, best, trained)
    far = goal.start_ms / aim.latency_ms > LARGEST_STEP
    return Next(len(trained) + 1, best.turn if far else 0, aim.latency_ms, aim.lost)


def _latency_share(done: TurnFinished) -> float:
    """A student's latency over the teacher's, where it gained least."""
    return max(1 / device.speedup.value for device in done.devices)


def _size_share(baseline: Baseline, done: TurnFinished) -> float:
    return done.student.size_bytes / baseline.teacher.size_bytes


def _end(rules: Rules, best: Trained, trained: Sequence[Trained]) -> End:
    drop = f"{rules.max_drop:g} {rules.metric.difference_unit}".strip()
    count = f"{len(trained)} student{'s' if len(trained) > 1 else ''}"
    if not best.turn:
        message = f"none of {count} loses at most {drop} of {rules.metric.name}"
        return End(Outcome.SCORE_FLOOR, 0, message)
    lost = f"{max(0.0, best.lost):.3g} {rules.metric.difference_unit}".strip()
    message = f"turn {best.turn} is the furthest of {count} that loses at most {drop}: {lost}"
    return End(Outcome.MET, best.turn, message)
