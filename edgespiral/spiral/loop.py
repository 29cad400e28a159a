"""The spiral: prune, distil, export, measure, and the student becomes the teacher."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgespiral.core.artifact import load_model, save_model, trace
from edgespiral.core.files import make_folder
from edgespiral.core.records import (
    Baseline,
    Candidate,
    Finalist,
    Interval,
    ModelFacts,
    Outcome,
    Ratio,
    RunFinished,
    TurnPlanned,
    Verdict,
    now_utc,
)
from edgespiral.distill.evaluate import accuracy
from edgespiral.prune.groups import widths_of
from edgespiral.spiral.budget import Budget
from edgespiral.spiral.cutting import Cuttable
from edgespiral.spiral.importance import importance_of
from edgespiral.spiral.planner import OutOfReach, Planned, Planner
from edgespiral.spiral.schedule import Schedule
from edgespiral.spiral.state import End, Next, Rules, finished_turns, next_step, planned_turn
from edgespiral.spiral.trial import TRIAL_SHARE, finalists_worth_trying, try_finalists
from edgespiral.spiral.turn import (
    Bench,
    Parent,
    Stopwatch,
    export_checked,
    publish,
    run_turn,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgespiral.core.records import Event, Measurement

BASELINE_ROUNDS = 50


@dataclass
class Spiral:
    """One run. All its decisions come from the journal, so it can be interrupted anywhere."""

    bench: Bench
    channel_multiple: int

    def run(self) -> RunFinished:
        """Turn until the budget is met, the floor is crossed or nothing is left to cut.

        Raises:
            EdgeSpiralError: with everything done so far kept in the run folder.
        """
        ended = [event for event in self._events() if isinstance(event, RunFinished)]
        if ended:
            return ended[-1]
        baseline = self._baseline()
        budget = Budget.from_plan(self.bench.plan, baseline.teacher.latency.stats.p50_ms)
        if self._already_met(baseline, budget):
            message = f"the teacher already meets {budget}"
            return self._finish(baseline, End(Outcome.ALREADY_MET, 0, message))
        rules = self._rules(baseline, budget)
        planner = self._planner(baseline)
        try:
            return self._finish(baseline, self._turns(rules, baseline, budget, planner))
        finally:
            planner.close()

    def _turns(self, rules: Rules, baseline: Baseline, budget: Budget, planner: Planner) -> End:
        # Asked before any training is paid for; the last turn alone could not tell.
        fastest_ms = planner.fastest_ms()
        if fastest_ms > budget.latency_ms:
            return _unreachable(budget, fastest_ms, 0)
        while True:
            step = next_step(rules, baseline, self._events())
            if isinstance(step, End):
                return step
            watch = Stopwatch()
            self.bench.listener.say(f"turn {step.turn}: to {step.target_ms:.3g} ms")
            with watch.timing("plan"):
                parent = self._parent(step)
            planned = self._planned(rules, step, parent, planner, watch)
            if isinstance(planned, OutOfReach):
                return _unreachable(budget, planned.fastest_ms, step.parent)
            done = run_turn(self.bench, planned, parent, budget, watch)
            self.bench.listener.say(
                f"  {done.student.validation_accuracy:.2f} % on validation, "
                f"{baseline.teacher.latency.stats.p50_ms / done.speedup.value:.3g} ms, "
                f"{done.speedup.value:.2f}x: budget {done.verdict}"
            )

    def _planned(
        self, rules: Rules, step: Next, parent: Parent, planner: Planner, watch: Stopwatch
    ) -> TurnPlanned | OutOfReach:
        known = planned_turn(self._events(), step.turn)
        if known is not None:
            return known
        plan = self.bench.plan
        epochs = rules.schedule.turn_epochs(step.turn)
        with watch.timing("plan"):
            chosen = planner.plan(
                step.turn,
                parent.source,
                parent.importance,
                target_ms=step.target_ms,
                allocation=plan.allocation,
                finalists=finalists_worth_trying(plan, len(self.bench.splits.train), epochs),
            )
        if isinstance(chosen, OutOfReach):
            return chosen
        planned = self._decided(step, parent, chosen, epochs, watch)
        self.bench.journal.append(planned)
        return planned

    def _decided(
        self,
        step: Next,
        parent: Parent,
        chosen: Sequence[Planned],
        epochs: float,
        watch: Stopwatch,
    ) -> TurnPlanned:
        """The one of `chosen` that learns fastest; trials come out of the turn's epochs."""
        tried: list[Finalist] = []
        if len(chosen) > 1:
            with watch.timing("trial"):
                tried = try_finalists(self.bench, parent, chosen, turn=step.turn, epochs=epochs)
        best = next((c for c in chosen if tried and c.widths == tried[0].widths), chosen[0])
        self.bench.listener.say(
            f"  planned {best.latency_ms:.3f} ms, measured on {self.bench.plan.target} "
            f"before training{f'; best of {len(tried)} tried' if tried else ''}"
        )
        return TurnPlanned(
            turn=step.turn,
            target_ms=step.target_ms,
            widths=best.widths,
            importance_lost=best.importance_lost,
            epochs=epochs * (1.0 - TRIAL_SHARE * len(tried)),
            finalists=tuple(tried),
        )

    def _baseline(self) -> Baseline:
        known = [event for event in self._events() if isinstance(event, Baseline)]
        if known:
            return known[-1]
        bench = self.bench
        folder = make_folder(bench.folder(0))
        save_model(bench.teacher.model, folder)
        onnx = export_checked(bench, bench.teacher.model, folder)
        [latency] = bench.session.measure([onnx], rounds=BASELINE_ROUNDS)
        facts = ModelFacts(
            validation_accuracy=accuracy(bench.teacher.model, bench.splits.validation),
            latency=latency,
            parameter_count=sum(p.numel() for p in bench.teacher.model.parameters()),
            size_bytes=onnx.stat().st_size,
        )
        budget = Budget.from_plan(bench.plan, latency.stats.p50_ms)
        baseline = Baseline(
            teacher=facts, widths=widths_of(bench.teacher.groups), budget_ms=budget.latency_ms
        )
        bench.journal.append(baseline)
        bench.listener.say(
            f"teacher: {facts.validation_accuracy:.2f} % on validation, "
            f"{latency.stats.p50_ms:.3g} ms; budget {budget}"
        )
        return baseline

    def _already_met(self, baseline: Baseline, budget: Budget) -> bool:
        return budget.verdict(baseline.teacher.latency, _no_speedup()) is Verdict.MET

    def _rules(self, baseline: Baseline, budget: Budget) -> Rules:
        plan = self.bench.plan
        start_ms = baseline.teacher.latency.stats.p50_ms
        schedule = Schedule.plan(start_ms, budget.latency_ms, plan.turns, plan.epochs)
        return Rules(schedule, plan.max_drop)

    def _planner(self, baseline: Baseline) -> Planner:
        planner = Planner(
            original=self.bench.teacher,
            session=self.bench.session,
            journal=self.bench.journal,
            teacher_onnx=self.bench.teacher_onnx,
            teacher_ms=baseline.teacher.latency.stats.p50_ms,
            multiple=self.channel_multiple,
            work=self.bench.out / "candidates",
            seed=self.bench.plan.seed,
        )
        planner.recall([event for event in self._events() if isinstance(event, Candidate)])
        return planner

    def _parent(self, step: Next) -> Parent:
        source = self._source(step.parent)
        train = self.bench.splits.train
        return Parent(step.parent, source, importance_of(self.bench.plan, source, train, step.turn))

    def _source(self, turn: int) -> Cuttable:
        if turn == 0:
            return self.bench.teacher
        model = trace(load_model(self.bench.folder(turn)))
        splits, reference = self.bench.splits, self.bench.teacher.groups
        return Cuttable.of(model, splits.input_shape, reference, token_count=splits.token_count)

    def _finish(self, baseline: Baseline, end: End) -> RunFinished:
        bench = self.bench
        publish(bench, end.best_turn)
        best = load_model(bench.folder(end.best_turn))
        measurement, speedup = self._best_latency(baseline, end.best_turn)
        finished = RunFinished(
            outcome=end.outcome,
            message=end.message,
            best_turn=end.best_turn,
            teacher_test_accuracy=accuracy(bench.teacher.model, bench.splits.test),
            student_test_accuracy=accuracy(best, bench.splits.test),
            final=measurement,
            speedup=speedup,
            finished_at=now_utc(),
        )
        bench.journal.append(finished)
        return finished

    def _best_latency(self, baseline: Baseline, turn: int) -> tuple[Measurement, Ratio]:
        for done in finished_turns(self._events()):
            if done.turn == turn:
                return done.student.latency, done.speedup
        return baseline.teacher.latency, _no_speedup()

    def _events(self) -> Sequence[Event]:
        return self.bench.journal.read()


def _no_speedup() -> Ratio:
    return Ratio(value=1.0, ci95=Interval(low=1.0, high=1.0))


def _unreachable(budget: Budget, fastest_ms: float, best_turn: int) -> End:
    message = f"{budget} is out of reach: the fastest cut of this model takes {fastest_ms:.3g} ms"
    return End(Outcome.UNREACHABLE, best_turn, message)
