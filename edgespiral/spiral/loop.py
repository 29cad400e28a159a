"""The spiral: prune, distil, export, measure, and the student becomes the teacher."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from edgespiral.core.files import make_folder
from edgespiral.core.intervals import ERROR_RATE
from edgespiral.core.records import (
    Baseline,
    Interval,
    OnDevice,
    Outcome,
    PrecisionChosen,
    Ratio,
    RunFinished,
    TurnPlanned,
    Verdict,
)
from edgespiral.core.schema import now_utc
from edgespiral.core.temporary import remove_claimed
from edgespiral.distill.evaluate import accuracy
from edgespiral.export.parity import file_accuracy
from edgespiral.export.precision import float_twin, validation_samples
from edgespiral.export.rebuilt import FreshProcess, check_rebuilt
from edgespiral.measure.decide import Paired
from edgespiral.models.saved import load_model, save_model, trace
from edgespiral.prune.groups import widths_of
from edgespiral.prune.prunable import PrunableModel
from edgespiral.report import formats
from edgespiral.spiral.budget import Budgets, joined
from edgespiral.spiral.context import Stopwatch
from edgespiral.spiral.doubts import doubts_about, doubts_after
from edgespiral.spiral.judging import judged
from edgespiral.spiral.on_device import check_on_device
from edgespiral.spiral.planning.planner import OutOfReach
from edgespiral.spiral.planning.screening import screen_of
from edgespiral.spiral.policy import End, Next, Rules, finished_turns, next_step, planned_turn
from edgespiral.spiral.publishing import (
    MODEL,
    fetch_engine,
    hashes_of,
    judged_files,
    publish,
    require_judged,
    restore,
    shipped_folder,
)
from edgespiral.spiral.schedule import Schedule
from edgespiral.spiral.student.distillation import kept_folder
from edgespiral.spiral.student.parent import parent_of, slimming_epochs
from edgespiral.spiral.student.precision import choose
from edgespiral.spiral.student.precision_search import Planners
from edgespiral.spiral.turn import (
    export_checked,
    model_facts,
    nothing_cut,
    run_turn,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edgespiral.core.exported import DeviceCheck
    from edgespiral.core.records import Event, Measurement, TurnFinished
    from edgespiral.spiral.context import (
        Parent,
        RunContext,
    )
    from edgespiral.spiral.planning.planner import Planner
    from edgespiral.spiral.planning.search import Planned

BASELINE_ROUNDS = 50
REBUILT_SAMPLES = 16


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
            restore(self.context, ended[-1])
            return ended[-1]
        baseline = self._baseline()
        budget = self._budgets(_timed(baseline))
        # Zeros among the weights were asked for beside the budget: then a turn makes them.
        if self.context.plan.sparsity == "none" and self._already_met(baseline, budget):
            message = f"the teacher already meets {budget}"
            return self._finish(baseline, End(Outcome.ALREADY_MET, 0, message))
        planners = Planners(self.context, baseline)
        try:
            chosen = self._precision(baseline, budget, planners)
            start_ms = _start_ms(baseline, chosen)
            planner = planners.planner(chosen.precision, start_ms)
            rules = self._rules(budget, planner.start_ms)
            return self._finish(baseline, self._turns(rules, baseline, budget, planner))
        finally:
            planners.close()

    def _turns(self, rules: Rules, baseline: Baseline, budget: Budgets, planner: Planner) -> End:
        # Asked before any training is paid for; the last turn alone could not tell.
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
            parent = parent_of(self.context, step.parent, source, watch, next_turn=step.turn)
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
        epochs = rules.schedule.turn_epochs(step.turn) - slimming_epochs(plan)
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
        context = self.context
        with context.listener.steps("planning") as advance:
            screen = screen_of(
                context, parent, step.turn, epochs, planner.weight_count, heard=advance
            )
            chosen = planner.plan(
                step.turn,
                parent.source,
                parent.importance,
                target_ms=step.target_ms,
                allocation=context.plan.allocation,
                screen=screen,
                budget_ms=planner.devices[0].budget_ms,
            )
        return chosen, len(screen.prices) if screen else 0

    def _baseline(self) -> Baseline:
        known = [event for event in self._events() if isinstance(event, Baseline)]
        if known:
            # All that follows is measured in pairs with it.
            require_judged(self.context.folder(0), judged_files(known, 0))
            self._say_doubts(known[-1].doubts)
            return known[-1]
        context = self.context
        folder, model = make_folder(context.folder(0)), context.teacher.model
        save_model(model, folder)
        export_checked(context, model, folder, context.precisions.base)
        self._check_rebuilt(folder)
        onnx, validation = folder / MODEL, context.splits.validation
        files, expected = hashes_of(folder), accuracy(model, validation, precision="fp32")
        score = judged(onnx, validation, expected=expected)
        latency, *others = context.fleet.each(
            lambda _, session: session.measure([onnx], rounds=BASELINE_ROUNDS)[0]
        )
        facts = model_facts(
            model, onnx, latency=latency, precision=context.session.precision(onnx), score=score
        )
        budget = self._budgets([latency, *others])
        baseline = Baseline(
            teacher=facts,
            widths=widths_of(context.teacher.groups),
            budget_ms=budget.latency_ms,
            elsewhere=tuple(
                OnDevice(budget_ms=own.latency_ms, measurement=one, speedup=_no_speedup())
                for own, one in zip(budget.each[1:], others, strict=True)
            ),
            files=files,
            doubts=doubts_about(model, context.splits),
        )
        context.journal.append(baseline)
        context.listener.say(
            f"teacher: {facts.validation_accuracy:.2f} % on validation, "
            f"{', '.join(f'{one.stats.p50_ms:.3g} ms' for one in (latency, *others))}; "
            f"budget {budget}"
        )
        self._say_doubts(baseline.doubts)
        return baseline

    def _say_doubts(self, doubts: Sequence[str]) -> None:
        for doubt in doubts:
            self.context.listener.say(f"  warning: {doubt}")

    def _check_rebuilt(self, folder: Path) -> None:
        """That `model.py` and its weights are, for others, the model of `folder`'s ONNX file."""
        samples = validation_samples(self.context.splits, REBUILT_SAMPLES)
        onnx = folder / MODEL
        twin = float_twin(onnx)
        check_rebuilt(self.fresh, folder, twin if twin.is_file() else onnx, samples)

    def _budgets(self, teacher: Sequence[Measurement]) -> Budgets:
        return Budgets.from_plan(self.context.plan, [one.stats.p50_ms for one in teacher])

    def _already_met(self, baseline: Baseline, budget: Budgets) -> bool:
        verdicts = budget.verdicts([Paired(one, one) for one in _timed(baseline)], 1 - ERROR_RATE)
        return joined(verdicts) is Verdict.MET

    def _tell(self, baseline: Baseline, done: TurnFinished) -> None:
        speedups = (done.speedup, *(one.speedup for one in done.elsewhere))
        reached = ", ".join(
            f"{teacher.stats.p50_ms / speedup.value:.3g} ms, {speedup.value:.2f}x"
            f"{f' on {teacher.target}' if done.elsewhere else ''}"
            for teacher, speedup in zip(_timed(baseline), speedups, strict=True)
        )
        accuracy_told = f"{done.student.validation_accuracy:.2f} % on validation"
        self.context.listener.say(f"  {accuracy_told}, {reached}: budget {done.verdict}")

    def _precision(
        self, baseline: Baseline, budget: Budgets, planners: Planners
    ) -> PrecisionChosen:
        """What students ship in; asked of the device once, then of the journal."""
        known = [event for event in self._events() if isinstance(event, PrecisionChosen)]
        if known:
            return known[-1]
        chosen = choose(self.context, baseline, partial(planners.mix, budget))
        if chosen.trials:
            self.context.listener.say(f"precision: {chosen.precision} ({chosen.reason})")
        self.context.journal.append(chosen)
        return chosen

    def _rules(self, budget: Budgets, start_ms: float) -> Rules:
        plan = self.context.plan
        schedule = Schedule.plan(start_ms, budget.latency_ms, plan.turns, plan.epochs)
        return Rules(schedule, plan.max_drop)

    def _source(self, turn: int) -> PrunableModel:
        if turn == 0:
            return self.context.teacher
        folder = self.context.folder(turn)
        if folder == shipped_folder(self.context, turn):
            require_judged(folder, judged_files(self._events(), turn))
        model = trace(load_model(folder))
        splits, reference = self.context.splits, self.context.teacher.groups
        return PrunableModel.of(
            model, splits.input_shape, reference, token_count=splits.token_count
        )

    def _finish(self, baseline: Baseline, end: End) -> RunFinished:
        context, shipped = self.context, shipped_folder(self.context, end.best_turn)
        require_judged(shipped, judged_files(self._events(), end.best_turn))
        if end.best_turn:
            self._check_rebuilt(shipped)
        checks = self._checked_on_devices(end.best_turn)
        publish(context, end.best_turn)
        engine = fetch_engine(context)
        teacher, student = self._test_accuracies(end.best_turn)
        validation = baseline.teacher.validation_accuracy, len(context.splits.validation)
        doubts = doubts_after(validation, (teacher, len(context.splits.test)))
        self._say_doubts(doubts)
        measurement, speedup, elsewhere = self._best_latency(baseline, end.best_turn)
        finished = RunFinished(
            outcome=end.outcome,
            message=end.message,
            best_turn=end.best_turn,
            teacher_test_accuracy=teacher,
            student_test_accuracy=student,
            final=measurement,
            speedup=speedup,
            engine=engine,
            finished_at=now_utc(),
            elsewhere=elsewhere,
            doubts=doubts,
            device_checks=checks,
        )
        # Before the last record: a run that has it is not entered again.
        remove_claimed(kept_folder(context))
        context.journal.append(finished)
        return finished

    def _test_accuracies(self, best_turn: int) -> tuple[float, float]:
        """Of the teacher's file and of the published one."""
        test = self.context.splits.test
        teacher = file_accuracy(self.context.folder(0) / MODEL, test)
        return teacher, file_accuracy(self.context.out / MODEL, test) if best_turn else teacher

    def _checked_on_devices(self, turn: int) -> tuple[DeviceCheck, ...]:
        """What the file that is to ship computes on every device, against what it computes here."""
        context, path = self.context, shipped_folder(self.context, turn) / "model.onnx"
        samples = context.plan.device_samples
        checks = context.fleet.each(
            lambda _, session: check_on_device(session, path, context.splits, samples)
        )
        for check in checks:
            context.listener.say(formats.device_check(check))
        return tuple(checks)

    def _best_latency(
        self, baseline: Baseline, turn: int
    ) -> tuple[Measurement, Ratio, tuple[OnDevice, ...]]:
        for done in finished_turns(self._events()):
            if done.turn == turn:
                return done.student.latency, done.speedup, done.elsewhere
        return baseline.teacher.latency, _no_speedup(), baseline.elsewhere

    def _events(self) -> Sequence[Event]:
        return self.context.journal.read()


def _start_ms(baseline: Baseline, chosen: PrecisionChosen) -> float:
    """The uncut teacher's latency in the precision chosen."""
    teacher_ms = baseline.teacher.latency.stats.p50_ms
    speedups = {trial.precision: trial.speedup.value for trial in chosen.trials}
    return teacher_ms / speedups.get(chosen.precision, 1.0)


def _timed(baseline: Baseline) -> list[Measurement]:
    """The teacher on every device."""
    return [baseline.teacher.latency, *(one.measurement for one in baseline.elsewhere)]


def _each_ms(planner: Planner, latency_ms: float) -> str:
    """A latency as a person would say it, on every device where there are several."""
    own = planner.own_ms(latency_ms)
    if len(own) == 1:
        return f"{latency_ms:.3g} ms"
    return ", ".join(f"{ms:.3g} ms on {target}" for target, ms in own.items())


def _no_speedup() -> Ratio:
    return Ratio(value=1.0, ci95=Interval(low=1.0, high=1.0))


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
