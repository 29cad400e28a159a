"""Whether a smaller network of the family is better than the cut, at the same budget.

A narrower or shallower network of the same make, trained alike, is what a cut has to be compared
with (Liu et al. 2019, "Rethinking the value of network pruning"). Each is measured untrained, since
shapes decide a latency and weights do not; of those within the budgets the largest is distilled for
as many epochs as the run's cuts, and the better of the two ships.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from edgespiral.core.batches import first_inputs
from edgespiral.core.listener import say_all
from edgespiral.core.records.events import (
    FamilyMeasured,
    Outcome,
    Sibling,
    TurnFinished,
    TurnPlanned,
)
from edgespiral.core.records.footprint import Footprint
from edgespiral.core.records.measurement import Verdict
from edgespiral.core.system.temporary import work_folder
from edgespiral.export.onnx import export_onnx
from edgespiral.export.parts import write_parts
from edgespiral.export.precision import convert_untrained
from edgespiral.measure.beside.consumption import consumption_on, consumption_verdicts
from edgespiral.measure.model_files import timed_bytes
from edgespiral.models.modes import evaluating
from edgespiral.models.saved import save_model
from edgespiral.models.work import parameter_count
from edgespiral.report import console
from edgespiral.spiral.budget import joined
from edgespiral.spiral.context import Parent, Stopwatch
from edgespiral.spiral.family.siblings import sibling_of
from edgespiral.spiral.policy import End, finished_turns, next_step, planned_turn
from edgespiral.spiral.student.making import begin_with
from edgespiral.spiral.turn import decide, on_devices, run_turn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from torch.fx import GraphModule

    from edgespiral.core.records.events import Baseline
    from edgespiral.core.records.schema import Precision
    from edgespiral.spiral.budget import Budgets
    from edgespiral.spiral.context import RunContext
    from edgespiral.spiral.policy import Rules


@dataclass(frozen=True)
class FamilyChoice:
    """Compares a run's result with the siblings of its plan.

    Attributes:
        names: of the siblings, as the plan has them.
        precision: of the run's students.
    """

    context: RunContext
    names: Sequence[str]
    rules: Rules
    baseline: Baseline
    budgets: Budgets
    precision: Precision

    def end(self, cuts: Callable[[], End]) -> End:
        """How the run ends.

        Args:
            cuts: takes the run's own turns, and says how they have ended. It is not asked again
                once siblings were measured: planning anew could come to something else.

        Raises:
            EdgeSpiralError: as `run_turn`; a resumed run goes on where this stopped.
        """
        earlier = [e for e in self.context.journal.read() if isinstance(e, FamilyMeasured)]
        if earlier:
            measured, end = earlier[-1], self._recorded(earlier[-1])
        else:
            end = cuts()
            measured = self._measured(end)
        name = measured.trained
        return end if name is None else self._better(end, self._trained(name))

    def _recorded(self, measured: FamilyMeasured) -> End:
        """How the run's own turns had ended when siblings were measured."""
        if measured.outcome is not None:
            return End(measured.outcome, measured.best_turn, measured.message)
        step = next_step(self.rules, self.baseline, self.context.journal.read())
        if isinstance(step, End):
            return step
        # Another turn was due and its plan is not there, so none had reached far enough.
        message = f"no further cut was found for {self.budgets}"
        return End(Outcome.UNREACHABLE, step.parent, message)

    def _measured(self, end: End) -> FamilyMeasured:
        """All siblings beside the teacher, and the one that is to be trained."""
        with self.context.listener.steps("measuring the family"):
            siblings = [self._sibling(name) for name in self.names]
        within = [sibling for sibling in siblings if sibling.verdict is Verdict.MET]
        largest = max(within, key=lambda s: s.footprint.parameter_count, default=None)
        trained = largest.name if largest else None
        record = FamilyMeasured(
            siblings=tuple(siblings),
            trained=trained,
            outcome=end.outcome,
            best_turn=end.best_turn,
            message=end.message,
        )
        self.context.journal.append(record)
        say_all(self.context.listener, console.family(record))
        return record

    def _sibling(self, name: str) -> Sibling:
        context, model = self.context, self._model(name)
        with work_folder() as work:
            onnx = self._written(model, work)
            pairs, verdicts = decide(context.fleet, context.teacher_onnx, onnx, self.budgets)
            consumptions = consumption_on(context.fleet, onnx, self.budgets)
            size = timed_bytes(onnx)
        footprint = Footprint(size_bytes=size, parameter_count=parameter_count(model))
        return Sibling(
            name=name,
            devices=on_devices(self.budgets, pairs, verdicts, consumptions),
            footprint=footprint,
            verdict=joined(
                [
                    *verdicts,
                    *consumption_verdicts(consumptions),
                    *self.budgets.footprint_verdicts(footprint),
                ]
            ),
        )

    def _model(self, name: str) -> GraphModule:
        context = self.context
        return sibling_of(
            name, context.teacher.model, context.splits, context.task, context.plan.seed
        )

    def _written(self, model: GraphModule, folder: Path) -> Path:
        """The file of an untrained model, as its student's would be."""
        onnx, example = folder / "model.onnx", self.context.teacher.example
        export_onnx(model, onnx, example=example)
        with evaluating(model):
            write_parts(onnx, self.context.task.parts(model, example))
        if self.context.fleet.needs_modules:
            save_model(model, folder)
        precisions = self.context.precisions
        return convert_untrained(onnx, precisions.written(self.precision), precisions.form)

    def _trained(self, name: str) -> TurnFinished:
        """The sibling's turn, which comes after those of cuts."""
        context, events = self.context, self.context.journal.read()
        done = [e for e in events if isinstance(e, TurnFinished) and e.sibling]
        if done:
            return done[-1]
        turn = len(finished_turns(events)) + 1
        planned = planned_turn(events, turn, sibling=name)
        if planned is None:
            planned = TurnPlanned(
                turn=turn,
                target_ms=self.budgets.goal_ms,
                widths={},
                importance_lost=0.0,
                epochs=context.plan.epochs,
                sibling=name,
            )
            context.journal.append(planned)
        context.listener.say(f"turn {turn}: {name}, distilled in place of a cut")
        begin_with(context.folder(turn), self._model(name), name, first_inputs(context.splits))
        source = context.teacher
        # Nothing is cut, so nothing is scored.
        parent = Parent(0, source, partial(context.scorer.importance, source, turn), source.model)
        finished = run_turn(
            context,
            planned,
            parent,
            self.budgets,
            Stopwatch(),
            precision=self.precision,
            floor=self.rules.floor(self.baseline),
        )
        say_all(context.listener, console.sibling(finished, context.task.metric))
        return finished

    def _better(self, end: End, sibling: TurnFinished) -> End:
        """The run's own end, or that its sibling is better."""
        metric, score = self.rules.metric, sibling.student.validation_score
        holds = metric.holds(score, self.rules.floor(self.baseline))
        if sibling.verdict is not Verdict.MET or not holds:
            return end
        name = sibling.sibling
        if end.outcome is not Outcome.MET:
            return End(Outcome.MET, sibling.turn, f"the budget is met by {name}, and by no cut")
        turns = finished_turns(self.context.journal.read())
        own = next(t for t in turns if t.turn == end.best_turn).student.validation_score
        if metric.rank(score) > metric.rank(own):
            message = f"the budget is met; {name}, trained alike, is better than the cut"
            return End(Outcome.MET, sibling.turn, message)
        return replace(end, message=f"{end.message}; {name}, trained alike, is no better")
