"""One turn: cut the parent to the planned widths, distil, export, measure, write it down."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from edgespiral.core.batches import first_inputs
from edgespiral.core.errors import RunFolderError
from edgespiral.core.records.events import (
    ModelFacts,
    OnDevice,
    RateChosen,
    TurnFinished,
)
from edgespiral.core.records.measurement import (
    Verdict,
)
from edgespiral.core.records.schema import now_utc
from edgespiral.core.seeds import derived_seed
from edgespiral.core.statistics.intervals import Looks
from edgespiral.core.system.files import make_folder, write_text
from edgespiral.distill.batchnorm import recalibrate_batchnorm
from edgespiral.distill.evaluate import score
from edgespiral.distill.optimizers import named_optimizer
from edgespiral.distill.own_training import is_usual
from edgespiral.export.precision import export_as
from edgespiral.measure.decide import compare_until_decided
from edgespiral.measure.model_files import timed_bytes
from edgespiral.models.saved import load_model, save_model, trace
from edgespiral.models.work import parameter_count
from edgespiral.prune.prunable import cut_to
from edgespiral.spiral.budget import joined
from edgespiral.spiral.shipping.judging import judged
from edgespiral.spiral.shipping.publishing import (
    MODEL,
    changed,
    hashes_of,
    judged_files,
    require_judged,
)
from edgespiral.spiral.student.learning_rate import RateSearch
from edgespiral.spiral.student.parent import RECALIBRATION_BATCHES
from edgespiral.spiral.student.qat import ScoreRecovery, Shipped
from edgespiral.spiral.student.sparsity import dense_bytes, sparsity_of, thinned

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from torch import Tensor, nn
    from torch.fx import GraphModule

    from edgespiral.core.batches import DataSplits
    from edgespiral.core.listener import Listener
    from edgespiral.core.records.events import (
        TurnPlanned,
    )
    from edgespiral.core.records.exported import WeightSparsity
    from edgespiral.core.records.journal import Journal
    from edgespiral.core.records.measurement import (
        Measurement,
        Ratio,
    )
    from edgespiral.core.records.schema import Precision
    from edgespiral.export.int8.calibration import Calibrated
    from edgespiral.export.precision import Exported
    from edgespiral.measure.decide import Paired
    from edgespiral.measure.fleet import Fleet
    from edgespiral.prune.prunable import PrunableModel
    from edgespiral.spiral.budget import Budgets
    from edgespiral.spiral.context import Parent, RunContext, Stopwatch
    from edgespiral.spiral.shipping.judging import Score
    from edgespiral.spiral.student.precisions import Precisions

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
    student = _student_of(
        context, planned, parent, budgets, watch, precision=precision, floor=floor
    )
    shipped, onnx = student.shipped, student.shipped.folder / MODEL
    files = hashes_of(shipped.folder)
    with watch.timing("score"):
        judgement = judged(onnx, context.file_scores, expected=shipped.float_score)
    with watch.timing("measure"):
        pairs, verdicts = decide(context.fleet, context.teacher_onnx, onnx, budgets)
    _require_measured(shipped.folder, files, pairs[0][0])
    # What it took turns with is what the budget and all other turns were held against.
    require_judged(context.folder(0), judged_files(context.journal.read(), 0))
    facts = model_facts(
        shipped.model,
        onnx,
        precision=context.session.precision(onnx),
        score=judgement,
        float_score=None if _kept_fp32(context.precisions, precision) else shipped.float_score,
    )
    finished = TurnFinished(
        turn=planned.turn,
        parent=parent.turn,
        widths=planned.widths,
        criterion=context.plan.criterion,
        pruner=student.engine,
        student=facts,
        devices=_on_devices(budgets, pairs, verdicts),
        quantised_training=shipped.training,
        restored=shipped.restored,
        score_after_cut=student.score_after_cut,
        verdict=_verdict(context, facts, budgets, verdicts, floor),
        epochs=planned.epochs,
        optimizer=_optimizer(context) if planned.epochs else "",
        seconds=dict(watch.seconds),
        files=files,
        seed=context.plan.seed,
        finished_at=now_utc(),
        sparsity=student.sparsity,
    )
    context.journal.append(finished)
    return finished


def _optimizer(context: RunContext) -> str:
    """What trains students, and why that one."""
    if not is_usual(context.training):
        return "the training is one's own"
    chosen = named_optimizer(context.plan.optimizer, context.teacher.model)
    return f"{chosen.name}: {chosen.reason}"


def _verdict(
    context: RunContext,
    facts: ModelFacts,
    budgets: Budgets,
    verdicts: Sequence[Verdict],
    floor: float,
) -> Verdict:
    """Of all budgets together; without any, whether the student holds the floor."""
    if context.plan.is_quality_goal:
        holds = context.task.metric.holds(facts.validation_score, floor)
        return Verdict.MET if holds else Verdict.MISSED
    return joined([*verdicts, *budgets.footprint_verdicts(facts)])


def _require_measured(folder: Path, files: Mapping[str, str], measurement: Measurement) -> None:
    """Refuse files that changed between being scored and being measured."""
    if measurement.model_sha256 != files[MODEL] or changed(folder, files):
        raise RunFolderError(
            "the turn's files changed while they were judged", where=str(folder), hint="--resume"
        )


class _Student(NamedTuple):
    """A turn's student on disk, not yet measured."""

    engine: str
    score_after_cut: float
    shipped: Shipped
    sparsity: WeightSparsity | None


def _student_of(
    context: RunContext,
    planned: TurnPlanned,
    parent: Parent,
    budgets: Budgets,
    watch: Stopwatch,
    *,
    precision: Precision,
    floor: float,
) -> _Student:
    """Cut, distil and export."""
    plan, folder = context.plan, make_folder(context.folder(planned.turn))
    with watch.timing("cut"):
        engine = _cut(
            parent, planned.widths, context.splits, folder, pruner=plan.pruner, seed=plan.seed
        )
    inputs = first_inputs(context.splits)
    student = trace(load_model(folder / "cut"), inputs)
    train = context.splits.train
    masks = thinned(plan.sparsity, student, train, batches=RECALIBRATION_BATCHES, seed=plan.seed)
    after_cut = score(student, context.splits.validation, task=context.task)
    score_told = context.task.metric.named(after_cut)
    context.listener.say(f"  cut by {engine}: {score_told} before distillation")
    with watch.timing("distil"):
        _distil(context, planned, parent, student, masks)
    with watch.timing("export"):
        save_model(student, folder, example=inputs)
        shipped, calibrated = _exported(context, student, folder, precision)
    if calibrated is not None:
        with watch.timing("round"):
            # Kept outputs are of bf16 where that is native, which rounds as coarsely as int8.
            teaching = context.distiller.teaching_live(parent.turn, parent.model)
            last = planned.target_ms <= budgets.goal_ms
            means = ScoreRecovery(context, teaching, planned.turn, floor, last, masks)
            shipped = means.win_back(shipped, calibrated)
    return _Student(engine, after_cut, shipped, _zeros(context, shipped, masks, folder, precision))


def _zeros(
    context: RunContext,
    shipped: Shipped,
    masks: Mapping[str, Tensor],
    folder: Path,
    precision: Precision,
) -> WeightSparsity | None:
    """What weight pruning left in the turn's file; None where none is asked for."""
    sparsity, precisions = context.plan.sparsity, context.precisions
    if sparsity == "none":
        return None
    written, form = precisions.written(precision), precisions.form
    return sparsity_of(
        shipped.folder / MODEL,
        shipped.model,
        masks,
        sparsity=sparsity,
        kernels=context.sparse_kernels,
        dense_bytes=partial(dense_bytes, folder, context.splits, written=written, form=form),
    )


def _on_devices(
    budgets: Budgets, pairs: Sequence[tuple[Measurement, Ratio]], verdicts: Sequence[Verdict]
) -> tuple[OnDevice, ...]:
    return tuple(
        OnDevice(
            budget_ms=budget.latency_ms,
            measurement=measurement,
            speedup=speedup,
            verdict=None if budget.latency_ms is None else verdict,
        )
        for budget, (measurement, speedup), verdict in zip(
            budgets.each, pairs, verdicts, strict=True
        )
    )


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


def export_checked(
    context: RunContext, model: nn.Module, folder: Path, precision: Precision
) -> Exported:
    """Write `model.onnx` into `folder` and check it against PyTorch on validation samples."""
    path = folder / MODEL
    request = context.precisions.export_request(precision, student=True, task=context.task)
    return export_as(model, path, context.splits, request)


def _exported(
    context: RunContext, student: GraphModule, folder: Path, precision: Precision
) -> tuple[Shipped, Calibrated | None]:
    """The student's files, and what an int8 one was made from."""
    exported = export_checked(context, student, folder, precision)
    validation = context.splits.validation
    # In float32, as the file is: bf16 turns samples over.
    float_score = shipped_score = score(student, validation, task=context.task, precision="fp32")
    if not _kept_fp32(context.precisions, precision):
        shipped_score = context.file_scores.of(folder / MODEL)
    return Shipped(folder, student, float_score, shipped_score), exported.calibrated


def _kept_fp32(precisions: Precisions, precision: Precision) -> bool:
    return precisions.written(precision) == "fp32"


def nothing_cut(source: PrunableModel, widths: Mapping[str, int]) -> bool:
    """Whether `widths` are those that the model has: a lower precision alone may do."""
    return all(widths.get(group.name) == group.channels for group in source.groups)


def _cut(
    parent: Parent,
    widths: Mapping[str, int],
    splits: DataSplits,
    folder: Path,
    *,
    pruner: str,
    seed: int,
) -> str:
    """Write the cut model into `folder`, unless it is there; the engine that removed channels."""
    engine_file = folder / "cut" / "engine.txt"
    if engine_file.exists():
        return engine_file.read_text(encoding="utf-8")
    if nothing_cut(parent.source, widths):
        save_model(parent.model, make_folder(folder / "cut"), example=first_inputs(splits))
        write_text(engine_file, UNCUT)
        return UNCUT
    scores, moments = parent.importance.channels, parent.importance.moments
    cut = cut_to(parent.source, widths, scores, pruner, moments)
    recalibrate_batchnorm(cut.model, splits.train, batches=RECALIBRATION_BATCHES, seed=seed)
    save_model(cut.model, make_folder(folder / "cut"), example=first_inputs(splits))
    write_text(engine_file, cut.engine)
    return cut.engine


def _distil(
    context: RunContext,
    planned: TurnPlanned,
    parent: Parent,
    student: GraphModule,
    masks: Mapping[str, Tensor],
) -> None:
    if not planned.epochs:
        return
    distiller, epochs, turn = context.distiller, planned.epochs, planned.turn
    checkpoint = context.folder(turn) / "checkpoint.pt"
    settings = distiller.settings(epochs=epochs, seed=derived_seed(context.plan.seed, turn))
    teaching = distiller.teaching(parent.turn, parent.model, epochs=epochs)
    # A training that was begun before rates were searched for goes on at the one that it had.
    if context.plan.learning_rate is None and (
        _rated(context.journal, turn) or not checkpoint.exists()
    ):
        path = context.folder(turn) / "rates.json"
        search = RateSearch(distiller, student, settings, teaching, masks, path)
        settings = replace(
            settings, learning_rate=_rate(search, turn, context.journal, context.listener)
        )
    distiller.train(student, settings, teaching=teaching, checkpoint=checkpoint, masks=masks)


def _rated(journal: Journal, turn: int) -> RateChosen | None:
    events = journal.read()
    return next((e for e in events if isinstance(e, RateChosen) and e.turn == turn), None)


def _rate(search: RateSearch, turn: int, journal: Journal, listener: Listener) -> float:
    """The learning rate of a turn's training: searched for once, then asked of the journal."""
    record = _rated(journal, turn)
    if record is None:
        best = search.run()
        record = RateChosen(
            turn=turn, learning_rate=best.rate, reason=best.reason, tried=best.tried
        )
        journal.append(record)
        listener.say(f"  learning rate {best.rate:.2g}: {best.reason}")
    return record.learning_rate
