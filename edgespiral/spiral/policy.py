"""Where a run stands: a pure function of its journal, so that a resumed run decides as it would
have.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgespiral.core.records.events import (
    Baseline,
    Outcome,
    TurnFinished,
    TurnPlanned,
)
from edgespiral.core.records.measurement import (
    Verdict,
)
from edgespiral.spiral.schedule import LARGEST_STEP, SMALLEST_STEP, retreat_ms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgespiral.core.records.events import Event
    from edgespiral.core.records.metric import Metric
    from edgespiral.spiral.schedule import Schedule

# After its scheduled turns a run may try this often again: once back from the score floor, or
# when a longer measurement puts a landing on the wrong side of the budget.
EXTRA_TURNS = 2
CLOSER = 0.98


@dataclass(frozen=True)
class Next:
    """The next turn: its number, whose student it starts from, and its latency target.

    `expected_lost` is what its student is predicted to lose, where that is the goal.
    """

    turn: int
    parent: int
    target_ms: float
    expected_lost: float | None = None


@dataclass(frozen=True)
class End:
    """The run is over, with the turn whose student is the result (0 is the teacher)."""

    outcome: Outcome
    best_turn: int
    message: str


@dataclass(frozen=True)
class Rules:
    """What a run is steered by."""

    schedule: Schedule
    max_drop: float
    metric: Metric

    def floor(self, baseline: Baseline) -> float:
        """Validation score that a student must hold."""
        return self.metric.floor(baseline.teacher.validation_score, self.max_drop)


def crossing_turns(rules: Rules, baseline: Baseline, events: Sequence[Event]) -> list[TurnFinished]:
    """The turns of cuts whose students are below the score floor."""
    floor, holds = rules.floor(baseline), rules.metric.holds
    return [t for t in finished_turns(events) if not holds(t.student.validation_score, floor)]


def finished_turns(events: Sequence[Event]) -> list[TurnFinished]:
    """The finished turns of cuts, in order; a sibling's, which comes after them, is none."""
    return [event for event in events if isinstance(event, TurnFinished) and not event.sibling]


def planned_turn(events: Sequence[Event], turn: int, sibling: str = "") -> TurnPlanned | None:
    """The plan of `turn` for a cut, or for the sibling of that name, if it was made."""
    plans = [e for e in events if isinstance(e, TurnPlanned) and e.turn == turn]
    return next((plan for plan in reversed(plans) if plan.sibling == sibling), None)


def reached_ms(baseline: Baseline, done: TurnFinished, budget_ms: float) -> float:
    """The latency of a turn's student, in pairs with the teacher.

    With several budgets it is in the first device's time, and of the budget furthest off.
    """
    shares_of_budget = [
        teacher.measurement.stats.p50_ms / student.speedup.value / teacher.budget_ms
        for teacher, student in zip(baseline.devices, done.devices, strict=True)
        if teacher.budget_ms is not None
    ]
    shares_of_budget += [budget.share(done.student) for budget in baseline.footprints]
    return max(shares_of_budget) * budget_ms


def next_step(rules: Rules, baseline: Baseline, events: Sequence[Event]) -> Next | End:
    """What to do after the turns in `events`."""
    floor = rules.floor(baseline)
    turns = finished_turns(events)
    parent, parent_ms = 0, rules.schedule.start_ms
    retreated = False
    for done in turns:
        within = rules.metric.holds(done.student.validation_score, floor)
        if within:
            parent_ms = reached_ms(baseline, done, rules.schedule.budget_ms)
            parent = done.turn
        if within and done.verdict is Verdict.MET:
            return End(Outcome.MET, done.turn, "the budget is met")
        if not within or retreated:
            target_ms = _retreat(events, done, parent_ms)
            if retreated or target_ms is None:
                return floor_end(rules, parent)
            retreated = True
    if len(turns) >= rules.schedule.turns + EXTRA_TURNS:
        message = "the budget was not met in the turns allowed"
        return End(Outcome.UNREACHABLE, parent, message)
    return Next(
        len(turns) + 1, parent, _target_ms(rules, baseline, events, parent_ms, retreated=retreated)
    )


def _target_ms(
    rules: Rules,
    baseline: Baseline,
    events: Sequence[Event],
    parent_ms: float,
    *,
    retreated: bool,
) -> float:
    turns = finished_turns(events)
    if retreated:
        target_ms = _retreat(events, turns[-1], parent_ms)
        assert target_ms is not None
        return target_ms
    schedule, turn = rules.schedule, len(turns) + 1
    over = max(0, turn - schedule.turns)
    # What is slower than the model that is cut next would be a turn that cuts nothing.
    while turn < schedule.turns and schedule.target_ms(turn) >= parent_ms:
        turn += 1
    target_ms = schedule.target_ms(turn) * CLOSER**over
    if turn < schedule.turns:
        return target_ms
    devices = turns[-1].devices if turns else baseline.devices
    teachers = baseline.devices
    pairs = [
        *(
            (teacher.memory, device.memory)
            for teacher, device in zip(teachers, devices, strict=True)
        ),
        *(
            (teacher.energy, device.energy)
            for teacher, device in zip(teachers, devices, strict=True)
        ),
    ]
    within_ms = [
        needed_ms(rules.schedule.start_ms, parent_ms, before.share, now.share)
        for before, now in pairs
        if before is not None and now is not None
    ]
    return min([target_ms, *within_ms])


def needed_ms(start_ms: float, parent_ms: float, teacher: float, parent: float) -> float:
    """The latency at which the memory or energy of a cut is expected to be within its limit.

    It lies on the line through the teacher and the model that is cut next, as far as one step goes;
    where there is no such line, memory is taken to go with latency, which is a small step: what a
    process takes without a model does not go at all. Infinite where it is within the limit.

    Args:
        start_ms: the teacher's latency.
        parent_ms: that of the model that is cut next.
        teacher: its share of the limit.
        parent: that of the model that is cut next.
    """
    if parent <= 1:
        return math.inf
    saved = teacher - parent
    if saved <= 0 or parent_ms >= start_ms:
        return parent_ms / max(parent, SMALLEST_STEP)
    slope_ms = (start_ms - parent_ms) / saved
    needed_ms = CLOSER * (parent_ms - slope_ms * (parent - 1))
    return min(max(needed_ms, parent_ms / LARGEST_STEP), parent_ms / SMALLEST_STEP)


def _retreat(events: Sequence[Event], failed: TurnFinished, parent_ms: float) -> float | None:
    plan = planned_turn(events, failed.turn)
    return None if plan is None else retreat_ms(parent_ms, plan.target_ms)


def floor_end(rules: Rules, best_turn: int) -> End:
    """That the score floor was crossed, and the turn of the fastest student within it."""
    result = f"turn {best_turn} is the fastest within it" if best_turn else "no turn is within it"
    metric = rules.metric
    drop = f"{rules.max_drop:g} {metric.difference_unit}".strip()
    message = f"the {metric.name} floor ({drop} worse than the teacher) was crossed; {result}"
    return End(Outcome.SCORE_FLOOR, best_turn, message)
