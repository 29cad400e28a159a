"""One turn: cut the parent to the planned widths, distil, export, measure, write it down."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.core.errors import RunFolderError
from edgespiral.core.records.events import (
    ModelFacts,
    OnDevice,
    TurnFinished,
)
from edgespiral.core.records.measurement import (
    Verdict,
)
from edgespiral.core.records.schema import now_utc
from edgespiral.core.statistics.intervals import Looks
from edgespiral.distill.optimizers import named_optimizer
from edgespiral.distill.own_training import is_usual
from edgespiral.measure.beside.consumption import consumption_on, consumption_verdicts
from edgespiral.measure.decide import compare_until_decided
from edgespiral.measure.model_files import timed_bytes
from edgespiral.models.work import parameter_count
from edgespiral.prune.network import layer_channels
from edgespiral.spiral.budget import joined
from edgespiral.spiral.shipping.judging import judged
from edgespiral.spiral.shipping.publishing import (
    MODEL,
    changed,
    hashes_of,
    judged_files,
    require_judged,
)
from edgespiral.spiral.student.making import is_written_fp32, make_student

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from torch import nn

    from edgespiral.core.records.events import (
        TurnPlanned,
    )
    from edgespiral.core.records.measurement import LatencyStats, Measurement, Ratio
    from edgespiral.core.records.metric import Metric
    from edgespiral.core.records.schema import Precision
    from edgespiral.core.stages.latencies import Stages
    from edgespiral.distill.own_training import Training
    from edgespiral.measure.beside.consumption import Consumption
    from edgespiral.measure.decide import Paired
    from edgespiral.measure.fleet import Fleet
    from edgespiral.spiral.budget import Budgets
    from edgespiral.spiral.context import Parent, RunContext, Stopwatch
    from edgespiral.spiral.shipping.judging import Score

UNCUT = "none"
# That each look of a verdict adds.
DECIDING_ROUNDS = (60, 60, 120)


def run_turn(
    context: RunContext,
    planned: TurnPlanned,
    parent: Parent,
    budgets: Budgets,
    watch: Stopwatch,
    *,
    precision: Precision,
    floor: float,
) -> TurnFinished:
    """Do everything that `planned` names; steps whose result is on disk are not done again.

    Args:
        floor: validation score that the run is to hold.

    Raises:
        ModelError: the cut is impossible or wrong.
        TrainingError: distillation diverged; the last good state is kept.
        ExportError: the ONNX file does not compute what the student does, or is right less often.
        MeasurementError, TargetError: the device did not answer.
        RunFolderError: a file of the turn's or the teacher's changed while it was judged.
    """
    student = make_student(
        context, planned, parent, budgets, watch, precision=precision, floor=floor
    )
    shipped, onnx = student.shipped, student.shipped.folder / MODEL
    files = hashes_of(shipped.folder)
    with watch.timing("score"):
        judgement = judged(onnx, context.file_scores, expected=shipped.float_score)
    with watch.timing("measure"):
        pairs, verdicts = decide(context.fleet, context.teacher_onnx, onnx, budgets)
        consumptions = consumption_on(context.fleet, onnx, budgets)
    _require_measured(shipped.folder, files, pairs[0][0])
    # What it took turns with is what the budget and all other turns were held against.
    require_judged(context.folder(0), judged_files(context.journal.read(), 0))
    facts = model_facts(
        shipped.model,
        onnx,
        precision=context.session.precision(onnx),
        score=judgement,
        float_score=None if is_written_fp32(context.precisions, precision) else shipped.float_score,
    )
    beside = [*consumption_verdicts(consumptions), *budgets.footprint_verdicts(facts)]
    verdict = joined([*verdicts, *beside])
    if context.plan.is_quality_goal:
        verdict = _floor_verdict(context.task.metric, facts.validation_score, floor)
    optimizer = _optimizer(context.plan.optimizer, context.teacher.model, context.training)
    finished = TurnFinished(
        turn=planned.turn,
        parent=parent.turn,
        widths=planned.widths,
        criterion="" if planned.sibling else context.plan.criterion,
        pruner="" if planned.sibling else student.engine,
        student=facts,
        devices=on_devices(budgets, pairs, verdicts, consumptions),
        quantised_training=shipped.training,
        restored=shipped.restored,
        score_after_cut=student.score_after_cut,
        verdict=verdict,
        epochs=planned.epochs,
        optimizer=optimizer if planned.epochs else "",
        seconds=dict(watch.seconds),
        files=files,
        seed=context.plan.seed,
        finished_at=now_utc(),
        sparsity=student.sparsity,
        sibling=planned.sibling,
        layers=layer_channels(shipped.model),
    )
    context.journal.append(finished)
    return finished


def _optimizer(name: str, teacher: nn.Module, training: Training) -> str:
    """What trains students, and why that one."""
    if not is_usual(training):
        return "the training is one's own"
    chosen = named_optimizer(name, teacher)
    return f"{chosen.name}: {chosen.reason}"


def _floor_verdict(metric: Metric, score: float, floor: float) -> Verdict:
    """Of a run without a budget: whether a student holds the floor."""
    return Verdict.MET if metric.holds(score, floor) else Verdict.MISSED


def _require_measured(folder: Path, files: Mapping[str, str], measurement: Measurement) -> None:
    """Refuse files that changed between being scored and being measured."""
    if measurement.model_sha256 != files[MODEL] or changed(folder, files):
        raise RunFolderError(
            "the turn's files changed while they were judged", where=str(folder), hint="--resume"
        )


def on_devices(
    budgets: Budgets,
    pairs: Sequence[tuple[Measurement, Ratio]],
    verdicts: Sequence[Verdict],
    consumptions: Sequence[Consumption],
) -> tuple[OnDevice, ...]:
    """A model on each device, as `decide` and `consumption_on` measured and judged it there."""
    return tuple(
        OnDevice(
            budget_ms=budget.latency_ms,
            measurement=measurement,
            speedup=speedup,
            verdict=None if budget.latency_ms is None else verdict,
            memory=beside.memory,
            energy=beside.energy,
            whole=whole_of(stages, measurement),
        )
        for budget, (measurement, speedup), verdict, beside, stages in zip(
            budgets.each,
            pairs,
            verdicts,
            consumptions,
            budgets.stages or [None for _ in pairs],
            strict=True,
        )
    )


def whole_of(stages: Stages | None, measurement: Measurement) -> LatencyStats | None:
    """A whole frame with a network that was measured; None where the rest is not known."""
    return None if stages is None else stages.with_network(measurement.rounds_ms)


def decide(
    fleet: Fleet, teacher: Path, onnx: Path, budgets: Budgets
) -> tuple[list[tuple[Measurement, Ratio]], list[Verdict]]:
    """Measure against the teacher; an undecided verdict takes more samples, not another turn.

    Returns the measurements and verdicts of each device. A device that misses its budget decides.
    """

    def is_open(pairs: Sequence[Paired], confidence: float) -> bool:
        return joined(budgets.verdicts(pairs, confidence)) is Verdict.UNDECIDED

    pairs = compare_until_decided(fleet, teacher, onnx, DECIDING_ROUNDS, is_open)
    verdicts = budgets.verdicts(pairs, Looks(len(DECIDING_ROUNDS)).confidence)
    return [(pair.subject, pair.speedup) for pair in pairs], verdicts


def model_facts(
    model: nn.Module,
    onnx: Path,
    *,
    precision: Precision,
    score: Score,
    float_score: float | None = None,
) -> ModelFacts:
    """What is known of a model whose file `onnx` was scored and measured."""
    return ModelFacts(
        validation_score=score.value,
        precision=precision,
        float_score=float_score,
        evaluation=score.evaluation,
        parameter_count=parameter_count(model),
        size_bytes=timed_bytes(onnx),
    )
