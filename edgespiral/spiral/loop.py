"""The spiral: prune, distil, export, measure, and the student becomes the teacher."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from typing import TYPE_CHECKING

from edgespiral.core.batches import first_inputs
from edgespiral.core.listener import say_all
from edgespiral.core.records.events import (
    Baseline,
    FamilyMeasured,
    Outcome,
    RunFinished,
    TurnPlanned,
)
from edgespiral.core.records.footprint import memory_text
from edgespiral.core.records.measurement import (
    Verdict,
)
from edgespiral.core.statistics.intervals import ERROR_RATE
from edgespiral.core.system.analysis_limit import analysing
from edgespiral.measure.beside.consumption import Consumption, consumption_verdicts
from edgespiral.measure.beside.limits import limited
from edgespiral.measure.beside.memory import least_memory_mib
from edgespiral.measure.decide import Paired
from edgespiral.models.example_inputs import example_of
from edgespiral.models.saved import load_model, trace
from edgespiral.prune.prunable import PrunableModel
from edgespiral.report import console
from edgespiral.spiral.baseline import baseline_of, budgets_of, timed
from edgespiral.spiral.budget import Budgets, joined
from edgespiral.spiral.context import Stopwatch
from edgespiral.spiral.exploring.start import explored_cut
from edgespiral.spiral.family.choice import FamilyChoice
from edgespiral.spiral.planning.planner import OutOfReach
from edgespiral.spiral.planning.quality import (
    MOST_STUDENTS,
    QualityGoal,
    Repeated,
    next_student,
    repeated,
    trained_students,
)
from edgespiral.spiral.planning.screening import screen_of
from edgespiral.spiral.policy import (
    End,
    Next,
    Rules,
    crossing_turns,
    finished_turns,
    floor_end,
    next_step,
    planned_turn,
)
from edgespiral.spiral.schedule import Schedule
from edgespiral.spiral.shipping.ending import finish
from edgespiral.spiral.shipping.publishing import (
    judged_files,
    require_judged,
    restore,
    shipped_folder,
)
from edgespiral.spiral.student.making import nothing_cut
from edgespiral.spiral.student.parent import Parents, slimming_epochs
from edgespiral.spiral.student.precision_search import Planners
from edgespiral.spiral.turn import run_turn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edgespiral.core.records.events import Event, TurnFinished
    from edgespiral.export.rebuilt import FreshProcess
    from edgespiral.measure.session import Session
    from edgespiral.spiral.context import Parent, RunContext
    from edgespiral.spiral.planning.planner import Planner
    from edgespiral.spiral.planning.search import Planned

# What could not be reached in one turn is not tried again so near to it.
BEYOND_REACH = 1.05


@dataclass(frozen=True)
class _Course:
    """What a run's turns have in common, once the teacher is measured and the precision chosen."""

    rules: Rules
    baseline: Baseline
    budget: Budgets
    planner: Planner
    teacher: Callable[[Stopwatch], Parent]


@dataclass
class Spiral:
    """One run. All its decisions come from the journal, so it can be interrupted anywhere.

    `fresh` is where saved models are run as others will run them.
    """

    context: RunContext
    fresh: FreshProcess

    def run(self) -> RunFinished:
        """Turn until the budget is met, the floor is crossed or nothing is left to cut.

        Raises:
            EdgeSpiralError: with everything done so far kept in the run folder.
        """
        ended = [event for event in self._events() if isinstance(event, RunFinished)]
        if ended:
            restore(self.context.out, self._events(), ended[-1], self.context.listener)
            return ended[-1]
        baseline = baseline_of(self.context, self.fresh)
        budget = budgets_of(self.context.plan.budgets, baseline)
        # Zeros among the weights were asked for beside the budget: then a turn makes them.
        if self.context.plan.sparsity == "none" and self._already_met(baseline, budget):
            message = f"the teacher already meets {budget}"
            return finish(self.context, self.fresh, baseline, End(Outcome.ALREADY_MET, 0, message))
        message = budget.out_of_reach or self._out_of_memory(budget)
        if message:
            end = End(Outcome.UNREACHABLE, 0, message)
            return finish(self.context, self.fresh, baseline, end)
        planners = Planners(self.context, baseline, self._parents, budget.goal_ms)
        try:
            planner = planners.settled(budget)
            rules = self._rules(budget, planner.start_ms)
            course = _Course(rules, baseline, budget, planner, planners.teacher)
            turns = self._students if self.context.plan.is_quality_goal else self._turns
            if self.context.plan.family:
                end = self._family(course).end(partial(turns, course))
            else:
                end = turns(course)
            return finish(self.context, self.fresh, baseline, end)
        finally:
            planners.close()

    def _family(self, course: _Course) -> FamilyChoice:
        return FamilyChoice(
            self.context,
            self.context.plan.family,
            course.rules,
            course.baseline,
            course.budget,
            course.planner.precision,
        )

    def _turns(self, course: _Course) -> End:
        budget, planner = course.budget, course.planner
        # Asked before any training is paid for; the last turn alone could not tell.
        with self.context.listener.steps("measuring the fastest cut"):
            beyond = planner.beyond_reach(budget.goal_ms)
        if beyond is not None:
            return _unreachable(budget, beyond, 0, "cut of this model")
        while True:
            step = next_step(course.rules, course.baseline, self._events())
            if isinstance(step, End):
                return step
            done = self._turn(course, step)
            if done is None:
                return End(Outcome.UNREACHABLE, step.parent, f"nothing is left to cut for {budget}")
            if isinstance(done, OutOfReach):
                which = _which_cut(step.turn, self.context.plan.allocation)
                return _unreachable(budget, done, step.parent, which)
            if isinstance(done, Repeated):  # no other cut lies between what holds and what does not
                return floor_end(course.rules, step.parent)

    def _students(self, course: _Course) -> End:
        """As `_turns`, where there is no budget: students until the goal is bracketed."""
        planner, parent = course.planner, course.teacher(Stopwatch())
        with self.context.listener.steps("measuring the fastest cut"):
            fastest_ms = planner.fastest_ms()
        rules, baseline = course.rules, course.baseline
        allocation, turns = self.context.plan.allocation, self.context.plan.turns

        @cache
        def divergence(latency_ms: float) -> float:
            source, importance = parent.source, parent.importance
            return planner.divergence(source, importance, latency_ms, allocation)

        goal = QualityGoal(
            planner.start_ms,
            fastest_ms,
            rules.max_drop,
            divergence,
            MOST_STUDENTS if turns == "auto" else turns,
            of_size=self.context.plan.smallest,
        )
        while True:
            step = next_student(rules, goal, baseline, self._events())
            if isinstance(step, End):
                return step
            done = self._turn(course, step)
            if done is None:
                goal = replace(goal, fastest_ms=math.inf)
            elif isinstance(done, OutOfReach):
                beyond_ms = BEYOND_REACH * done.fastest_ms
                goal = replace(goal, fastest_ms=max(goal.fastest_ms, beyond_ms))
            elif isinstance(done, Repeated):
                trained = trained_students(rules, goal, baseline, self._events())
                goal = goal.past(done, step.target_ms, trained)

    def _turn(self, course: _Course, step: Next) -> TurnFinished | OutOfReach | Repeated | None:
        """One turn; None where nothing is left to cut."""
        watch = Stopwatch()
        aim = course.planner.target_text(step.target_ms)
        metric = self.context.task.metric
        lost = step.expected_lost
        expected = "" if lost is None else f", expected to lose {lost:.2g} {metric.difference_unit}"
        self.context.listener.say(f"turn {step.turn}: to {aim}{expected}".strip())
        source = self._source(step.parent)
        if not source.groups:
            return None
        # The search for a precision may have scored it, and so have all students of a goal.
        if step.parent == 0 and (step.turn == 1 or self.context.plan.is_quality_goal):
            parent = course.teacher(watch)
        else:
            parent = self._parents.parent(step.parent, source, watch, next_turn=step.turn)
        planned = self._planned(course, step, parent, watch)
        if isinstance(planned, OutOfReach | Repeated):
            return planned
        done = run_turn(
            self.context,
            planned,
            parent,
            course.budget,
            watch,
            precision=course.planner.precision,
            floor=course.rules.floor(course.baseline),
        )
        has_budget = not self.context.plan.is_quality_goal
        metric = self.context.task.metric
        say_all(
            self.context.listener,
            console.turn(done, course.baseline, metric, has_budget=has_budget),
        )
        return done

    def _planned(
        self, course: _Course, step: Next, parent: Parent, watch: Stopwatch
    ) -> TurnPlanned | OutOfReach | Repeated:
        earlier = planned_turn(self._events(), step.turn)
        if earlier is not None:
            return earlier
        plan, planner = self.context.plan, course.planner
        epochs = course.rules.schedule.turn_epochs(step.turn, step.target_ms)
        epochs -= self._parents.slimming_epochs
        with watch.timing("plan"):
            chosen, compared = self._chosen(step, parent, planner, epochs)
        if isinstance(chosen, OutOfReach):
            return chosen
        again = repeated(chosen, self._told_enough(course))
        if again is not None:
            self.context.listener.say(
                f"  which is turn {again.turn}'s cut, so it is not trained again"
            )
            return again
        if planner.reused_layers or planner.reused_models:
            self.context.listener.say(
                f"  latency cache: {planner.reused_layers} layers and {planner.reused_models} cuts "
                f"{'instead of a survey' if planner.reused_layers else 'known'}"
            )
        self.context.listener.say(
            f"  planned {planner.text_of(chosen)}, measured on {', '.join(plan.targets)} "
            f"before training{f'; best of {compared} compared' if compared else ''}"
        )
        is_uncut = nothing_cut(parent.source, chosen.widths) and plan.sparsity == "none"
        with watch.timing("plan"):
            cuts = planner.cut_costs(parent.source, parent.importance, chosen.widths)
        planned = TurnPlanned(
            turn=step.turn,
            target_ms=step.target_ms,
            widths=dict(chosen.widths),
            importance_lost=chosen.importance_lost,
            expected_lost=step.expected_lost,
            compared=compared,
            epochs=0.0 if is_uncut else epochs,
            cuts=cuts,
            reused_layers=planner.reused_layers,
            reused_models=planner.reused_models,
        )
        self.context.journal.append(planned)
        return planned

    def _told_enough(self, course: _Course) -> list[TurnFinished]:
        """The turns whose cuts are not to be trained once more."""
        if self.context.plan.is_quality_goal:
            return finished_turns(self._events())
        return crossing_turns(course.rules, course.baseline, self._events())

    def _chosen(
        self, step: Next, parent: Parent, planner: Planner, epochs: float
    ) -> tuple[Planned | OutOfReach, int]:
        """The turn's cut, and how many cuts were compared as a whole to find it."""
        context, importance, plan = self.context, parent.importance, self.context.plan
        if step.turn == 1 and plan.explored is not None and plan.point is not None:
            return explored_cut(plan.explored, plan.point, planner, parent, step.turn), 0
        with context.listener.steps("planning") as advance:
            screen = None
            if context.plan.allocation == "latency":
                screen = screen_of(
                    context.scorer, parent, step.turn, epochs, planner.weight_count, heard=advance
                )
            chosen = planner.plan(
                step.turn,
                parent.source,
                importance,
                target_ms=step.target_ms,
                allocation=context.plan.allocation,
                screen=screen,
                budget_ms=None if context.plan.is_quality_goal else planner.devices[0].budget_ms,
            )
        return chosen, len(screen.prices) if screen else 0

    def _already_met(self, baseline: Baseline, budget: Budgets) -> bool:
        if self.context.plan.is_quality_goal:
            return False
        verdicts = budget.verdicts(
            [Paired(measurement, measurement) for measurement in timed(baseline)], 1 - ERROR_RATE
        )
        sizes = budget.footprint_verdicts(baseline.teacher)
        consumptions = [Consumption(device.memory, device.energy) for device in baseline.devices]
        return joined([*verdicts, *sizes, *consumption_verdicts(consumptions)]) is Verdict.MET

    def _out_of_memory(self, budget: Budgets) -> str:
        """That no model is small enough, as the runtime alone takes too much; else nothing."""
        begun = any(isinstance(event, TurnPlanned | FamilyMeasured) for event in self._events())
        if budget.memory_mib is None or begun:
            return ""
        limits = limited(budget.targets, budget.memory_mib)

        def least(index: int, session: Session) -> float:
            return least_memory_mib(session) if budget.targets[index] in limits else 0.0

        for target, least_mib in zip(budget.targets, self.context.fleet.each(least), strict=True):
            if target in limits and least_mib > limits[target]:
                return (
                    f"{memory_text(limits[target])} is out of reach: with a tiny model the runtime "
                    f"takes {least_mib:.4g} MiB on {target}"
                )
        return ""

    def _rules(self, budget: Budgets, start_ms: float) -> Rules:
        plan = self.context.plan
        # Each student of a goal without a budget may be the one that ships.
        is_one = plan.is_quality_goal or plan.explored is not None
        schedule = Schedule.plan(start_ms, budget.goal_ms, 1 if is_one else plan.turns, plan.epochs)
        return Rules(schedule, plan.max_drop, self.context.task.metric)

    @cached_property
    def _parents(self) -> Parents:
        context, plan = self.context, self.context.plan
        epochs = slimming_epochs(plan.criterion, plan.epochs, plan.turns)
        return Parents(context.scorer, context.distiller, epochs, context.out, plan.shared)

    def _source(self, turn: int) -> PrunableModel:
        if turn == 0:
            return self.context.teacher
        folder = self.context.folder(turn)
        if folder == shipped_folder(self.context.out, self._events(), turn):
            require_judged(folder, judged_files(self._events(), turn))
        splits, reference = self.context.splits, self.context.teacher.groups
        with analysing():
            model = trace(load_model(folder), first_inputs(splits))
            return PrunableModel.of(
                model, splits.input_shape, reference, example=example_of(splits)
            )

    def _events(self) -> Sequence[Event]:
        return self.context.journal.read()


def _which_cut(turn: int, allocation: str) -> str:
    if allocation == "latency":
        return f"cut of turn {turn}"
    return f"that --allocation {allocation} allows (latency allows more)"


def _unreachable(budget: Budgets, beyond: OutOfReach, best_turn: int, which: str) -> End:
    times = beyond.fastest_ms / budget.goal_ms
    if times <= 1:
        # A quick measurement may say so of what a long one has found too slow.
        message = f"{budget} was not met, and turn {best_turn}'s student cannot be cut further"
        return End(Outcome.UNREACHABLE, best_turn, message)
    if beyond.size:
        fastest = f"the smallest {which} has {beyond.size}"
    elif len(budget.each) > 1:
        fastest = f"the fastest {which} takes {times:.3g} times the budget where it is furthest off"
    else:
        more = f"{100 * (times - 1):.2g} % more"
        speedup = f"{budget.teacher_ms / beyond.fastest_ms:.3g}x"
        fastest = f"the fastest {which} takes {beyond.fastest_ms:.3g} ms, {more}: {speedup}"
    return End(Outcome.UNREACHABLE, best_turn, f"{budget} is out of reach: {fastest}")
