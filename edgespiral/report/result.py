"""The machine-readable outcome of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.core.errors import ExitCode, RunFolderError
from edgespiral.core.records.events import Outcome
from edgespiral.core.records.result import DeviceResult, Result, TurnCuts, TurnRate
from edgespiral.report.budgets import budget_margins, siblings
from edgespiral.report.run import Run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgespiral.core.records.events import Baseline, Event, ModelFacts, RunFinished
    from edgespiral.core.records.metric import Figure

EXIT_CODES = {
    Outcome.MET: ExitCode.OK,
    Outcome.ALREADY_MET: ExitCode.ALREADY_MET,
    Outcome.UNREACHABLE: ExitCode.UNREACHABLE,
    Outcome.SCORE_FLOOR: ExitCode.SCORE_FLOOR,
}


def build_result(events: Sequence[Event]) -> Result:
    """`result.json` of a finished run.

    Raises:
        RunFolderError: the run is not finished.
    """
    run = Run.of(events)
    if run.finished is None or run.baseline is None:
        raise RunFolderError("the run is not finished", hint="go on with --resume")
    return _result(run, run.baseline, run.finished)


def _result(run: Run, baseline: Baseline, finished: RunFinished) -> Result:
    best = run.best
    teacher_files = baseline.files or {"model.onnx": baseline.devices[0].measurement.model_sha256}
    return Result(
        outcome=finished.outcome,
        message=finished.message,
        exit_code=EXIT_CODES[finished.outcome],
        metric=run.metric,
        precision=(best.student if best else baseline.teacher).precision,
        races=run.raced.races if run.raced else (),
        precision_trials=run.chosen.trials if run.chosen else (),
        precision_mixes=run.chosen.mixes if run.chosen else (),
        quantised_training=best.quantised_training if best else None,
        restored=best.restored if best else (),
        best_turn=finished.best_turn,
        teacher=_tested(baseline.teacher, finished.teacher_test_score, finished.teacher_beside),
        student=_tested(
            best.student if best else baseline.teacher,
            finished.student_test_score,
            finished.student_beside,
        ),
        widths_before=baseline.widths,
        widths_after=best.widths if best else baseline.widths,
        cuts=tuple(
            TurnCuts(turn=turn.turn, cuts=run.planned[turn.turn].cuts)
            for turn in run.lineage
            if turn.turn in run.planned and run.planned[turn.turn].cuts
        ),
        learning_rates=_learning_rates(run),
        devices=tuple(
            DeviceResult(
                target=device.target,
                budget_ms=device.budget_ms,
                verdict=device.verdict,
                speedup=device.speedup,
                teacher=device.teacher,
                student=device.student,
                memory=device.memory,
                energy=device.energy,
                stages=device.stages,
                whole_before=device.whole_before,
                whole_after=device.whole_after,
            )
            for device in run.devices()
        ),
        budgets=budget_margins(run),
        optimizer=best.optimizer if best else "",
        turns=len(run.turns),
        seconds=run.seconds(),
        sparsity=best.sparsity if best else None,
        family=siblings(run),
        engine=finished.engine,
        device_checks=finished.device_checks,
        files={**(best.files if best else teacher_files), **run.started.data_files},
        doubts=run.doubts,
        plan=run.started.plan,
        versions=run.started.versions,
        command=run.started.command,
    )


def _learning_rates(run: Run) -> tuple[TurnRate, ...]:
    rates = [run.rates[turn.turn] for turn in run.lineage if turn.turn in run.rates]
    return tuple(
        TurnRate(
            turn=rate.turn,
            learning_rate=rate.learning_rate,
            reason=rate.reason,
            tried=rate.tried,
        )
        for rate in rates
    )


def _tested(facts: ModelFacts, test_score: float, beside: Sequence[Figure]) -> ModelFacts:
    return facts.model_copy(update={"test_score": test_score, "beside": tuple(beside)})
