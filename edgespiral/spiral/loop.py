"""The spiral: prune, distil, export, measure, and the student becomes the teacher."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from edgespiral.core.batches import first_inputs
from edgespiral.core.records.events import (
    Baseline,
    Outcome,
    RunFinished,
    TurnPlanned,
)
from edgespiral.core.records.measurement import (
    Verdict,
)
from edgespiral.core.statistics.intervals import ERROR_RATE
from edgespiral.measure.decide import Paired
from edgespiral.models.example_inputs import example_of
from edgespiral.models.saved import load_model, trace
from edgespiral.prune.prunable import PrunableModel
from edgespiral.spiral.baseline import baseline_of, timed
from edgespiral.spiral.budget import Budgets, joined
from edgespiral.spiral.context import Stopwatch
from edgespiral.spiral.exploring.start import explored_cut
from edgespiral.spiral.planning.planner import OutOfReach
from edgespiral.spiral.planning.screening import screen_of
from edgespiral.spiral.policy import End, Next, Rules, next_step, planned_turn
from edgespiral.spiral.schedule import Schedule
from edgespiral.spiral.shipping.ending import finish
from edgespiral.spiral.shipping.publishing import (
    judged_files,
    require_judged,
    restore,
    shipped_folder,
)
from edgespiral.spiral.student.parent import Parents, slimming_epochs
from edgespiral.spiral.student.precision_search import Planners
from edgespiral.spiral.turn import nothing_cut, run_turn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edgespiral.core.records.events import Event, TurnFinished
    from edgespiral.export.rebuilt import FreshProcess
    from edgespiral.spiral.context import Parent, RunContext
    from edgespiral.spiral.planning.planner import Planner
    from edgespiral.spiral.planning.search import Planned


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
        budget = Budgets.of(self.context.plan.budgets, timed(baseline))
        # Zeros among the weights were asked for beside the budget: then a turn makes them.
        if self.context.plan.sparsity == "none" and self._already_met(baseline, budget):
            message = f"the teacher already meets {budget}"
            return finish(self.context, self.fresh, baseline, End(Outcome.ALREADY_MET, 0, message))
        planners = Planners(self.context, baseline, self._parents)
        try:
            planner = planners.settled(budget)
            rules = self._rules(budget, planner.start_ms)
            end = self._turns(rules, baseline, budget, planner, planners.teacher)
            return finish(self.context, self.fresh, baseline, end)
        finally:
            planners.close()

    def _turns(
        self,
        rules: Rules,
        baseline: Baseline,
        budget: Budgets,
        planner: Planner,
        teacher: Callable[[Stopwatch], Parent],
    ) -> End:
        # Asked before any training is paid for; the last turn alone could not tell.
        with self.context.listener.steps("measuring the fastest cut"):
            beyond = planner.beyond_reach(budget.latency_ms)
        if beyond is not None:
            return _unreachable(budget, beyond.fastest_ms, 0, "the fastest cut of this model")
        while True:
            step = next_step(rules, baseline, self._events())
            if isinstance(step, End):
                return step
            watch = Stopwatch()
            self.context.listener.say(f"turn {step.turn}: to {_each_ms(planner, step.target_ms)}")
            source = self._source(step.parent)
            if not source.groups:
                return End(Outcome.UNREACHABLE, step.parent, f"nothing is left to cut for {budget}")
            if (step.parent, step.turn) == (0, 1):  # the search for a precision may have scored it
                parent = teacher(watch)
            else:
                parent = self._parents.parent(step.parent, source, watch, next_turn=step.turn)
            planned = self._planned(rules, step, parent, planner, watch)
            if isinstance(planned, OutOfReach):
                fastest = _fastest_cut(step.turn, self.context.plan.allocation)
                return _unreachable(budget, planned.fastest_ms, step.parent, fastest)
            done = run_turn(
                self.context,
                planned,
                parent,
                budget,
                watch,
                precision=planner.precision,
                floor=rules.floor(baseline),
            )
            self._tell(baseline, done)

    def _planned(
        self, rules: Rules, step: Next, parent: Parent, planner: Planner, watch: Stopwatch
    ) -> TurnPlanned | OutOfReach:
        known = planned_turn(self._events(), step.turn)
        if known is not None:
            return known
        plan = self.context.plan
        epochs = rules.schedule.turn_epochs(step.turn) - self._parents.slimming_epochs
        with watch.timing("plan"):
            chosen, compared = self._chosen(step, parent, planner, epochs)
        if isinstance(chosen, OutOfReach):
            return chosen
        if planner.reused_layers or planner.reused_models:
            self.context.listener.say(
                f"  latency cache: {planner.reused_layers} layers and {planner.reused_models} cuts "
                f"{'instead of a survey' if planner.reused_layers else 'known'}"
            )
        self.context.listener.say(
            f"  planned {chosen.latency_ms:.3f} ms, measured on {', '.join(plan.targets)} "
            f"before training{f'; best of {compared} compared' if compared else ''}"
        )
        kept = nothing_cut(parent.source, chosen.widths) and plan.sparsity == "none"
        with watch.timing("plan"):
            cuts = planner.bought(parent.source, parent.importance, chosen.widths)
        planned = TurnPlanned(
            turn=step.turn,
            target_ms=step.target_ms,
            widths=chosen.widths,
            importance_lost=chosen.importance_lost,
            compared=compared,
            epochs=0.0 if kept else epochs,
            cuts=cuts,
            reused_layers=planner.reused_layers,
            reused_models=planner.reused_models,
        )
        self.context.journal.append(planned)
        return planned

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
                budget_ms=planner.devices[0].budget_ms,
            )
        return chosen, len(screen.prices) if screen else 0

    def _already_met(self, baseline: Baseline, budget: Budgets) -> bool:
        verdicts = budget.verdicts([Paired(one, one) for one in timed(baseline)], 1 - ERROR_RATE)
        return joined(verdicts) is Verdict.MET

    def _tell(self, baseline: Baseline, done: TurnFinished) -> None:
        several = len(done.devices) > 1
        reached = ", ".join(
            f"{teacher.stats.p50_ms / device.speedup.value:.3g} ms, {device.speedup.value:.2f}x"
            f"{f' on {device.target}' if several else ''}"
            for teacher, device in zip(timed(baseline), done.devices, strict=True)
        )
        metric = self.context.task.metric
        told = f"{metric.named(done.student.validation_score)} on validation"
        self.context.listener.say(f"  {told}, {reached}: budget {done.verdict}")

    def _rules(self, budget: Budgets, start_ms: float) -> Rules:
        plan = self.context.plan
        turns = plan.turns if plan.explored is None else 1
        schedule = Schedule.plan(start_ms, budget.latency_ms, turns, plan.epochs)
        return Rules(schedule, plan.max_drop, self.context.task.metric)

    @cached_property
    def _parents(self) -> Parents:
        context, plan = self.context, self.context.plan
        epochs = slimming_epochs(plan.criterion, plan.epochs, plan.turns)
        return Parents(context.scorer, context.distiller, epochs, context.out)

    def _source(self, turn: int) -> PrunableModel:
        if turn == 0:
            return self.context.teacher
        folder = self.context.folder(turn)
        if folder == shipped_folder(self.context.out, self._events(), turn):
            require_judged(folder, judged_files(self._events(), turn))
        splits, reference = self.context.splits, self.context.teacher.groups
        model = trace(load_model(folder), first_inputs(splits))
        return PrunableModel.of(model, splits.input_shape, reference, example=example_of(splits))

    def _events(self) -> Sequence[Event]:
        return self.context.journal.read()


def _each_ms(planner: Planner, latency_ms: float) -> str:
    """A latency as a person would say it, on every device where there are several."""
    own = planner.own_ms(latency_ms)
    if len(own) == 1:
        return f"{latency_ms:.3g} ms"
    return ", ".join(f"{ms:.3g} ms on {target}" for target, ms in own.items())


def _fastest_cut(turn: int, allocation: str) -> str:
    if allocation == "latency":
        return f"the fastest cut of turn {turn}"
    return f"the fastest that --allocation {allocation} allows (latency allows more)"


def _unreachable(budget: Budgets, fastest_ms: float, best_turn: int, fastest: str) -> End:
    times = fastest_ms / budget.latency_ms
    if times <= 1:
        # A quick measurement may say so of what a long one has found too slow.
        message = f"{budget} was not met, and turn {best_turn}'s student cannot be cut further"
        return End(Outcome.UNREACHABLE, best_turn, message)
    taken = f"{fastest_ms:.3g} ms, {100 * (times - 1):.2g} % more"
    if len(budget.each) > 1:
        taken = f"{times:.3g} times the budget where it is furthest off"
    message = f"{budget} is out of reach: {fastest} takes {taken}"
    return End(Outcome.UNREACHABLE, best_turn, message)
