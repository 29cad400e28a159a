"""A turn's student: cut, distilled and exported."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from edgespiral.core.batches import first_inputs
from edgespiral.core.listener import say_all
from edgespiral.core.records.events import (
    RateChosen,
)
from edgespiral.core.seeds import derived_seed
from edgespiral.core.system.files import make_folder, write_text
from edgespiral.distill.batchnorm import recalibrate_batchnorm
from edgespiral.distill.evaluate import score
from edgespiral.distill.optimizers import rate_from_scratch
from edgespiral.export.precision import export_as
from edgespiral.models.saved import load_model, save_model, trace
from edgespiral.prune.prunable import cut_to
from edgespiral.report import console
from edgespiral.spiral.family.siblings import begins_fresh
from edgespiral.spiral.shipping.publishing import (
    MODEL,
)
from edgespiral.spiral.student.learning_rate import Found, RateSearch
from edgespiral.spiral.student.parent import RECALIBRATION_BATCHES
from edgespiral.spiral.student.qat import ScoreRecovery, Shipped
from edgespiral.spiral.student.sparsity import dense_bytes, sparsity_of, thinned

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from torch import Tensor
    from torch.fx import GraphModule

    from edgespiral.core.batches import DataSplits
    from edgespiral.core.listener import Listener
    from edgespiral.core.nested import Tensors
    from edgespiral.core.records.events import (
        TurnPlanned,
    )
    from edgespiral.core.records.exported import WeightSparsity
    from edgespiral.core.records.journal import Journal
    from edgespiral.core.records.schema import Precision
    from edgespiral.export.int8.calibration import Calibrated
    from edgespiral.prune.prunable import PrunableModel
    from edgespiral.spiral.budget import Budgets
    from edgespiral.spiral.context import Parent, RunContext, Stopwatch
    from edgespiral.spiral.student.precisions import Precisions

UNCUT, ENGINE = "none", "engine.txt"
FRESH = "it begins with random weights: the rate of a training from these"


class Student(NamedTuple):
    """A turn's student on disk, not yet measured."""

    engine: str
    score_after_cut: float
    shipped: Shipped
    sparsity: WeightSparsity | None


def make_student(
    context: RunContext,
    planned: TurnPlanned,
    parent: Parent,
    budgets: Budgets,
    watch: Stopwatch,
    *,
    precision: Precision,
    floor: float,
) -> Student:
    """Cut, distil and export; steps whose result is on disk are not done again.

    Args:
        context: of the run.
        planned: the widths and the training.
        parent: what is cut.
        budgets: of the run, by which its last turn is known.
        watch: takes the time of each step.
        precision: of the file.
        floor: validation score that the run is to hold.

    Raises:
        ModelError: the cut is impossible or wrong.
        TrainingError: distillation diverged; the last good state is kept.
        ExportError: the ONNX file does not compute what the student does.
        RunFolderError: a file of the turn's is damaged or cannot be written.
    """
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
    origin = f"begins as {engine}" if planned.sibling else f"cut by {engine}"
    context.listener.say(f"  {origin}: {score_told} before distillation")
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
    return Student(engine, after_cut, shipped, _zeros(context, shipped, masks, folder, precision))


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


def _exported(
    context: RunContext, student: GraphModule, folder: Path, precision: Precision
) -> tuple[Shipped, Calibrated | None]:
    """The student's files, and what an int8 one was made from."""
    request = context.precisions.export_request(precision, student=True, task=context.task)
    exported = export_as(student, folder / MODEL, context.splits, request)
    validation = context.splits.validation
    # In float32, as the file is: bf16 turns samples over.
    float_score = shipped_score = score(student, validation, task=context.task, precision="fp32")
    if not is_written_fp32(context.precisions, precision):
        shipped_score = context.file_scores.of(folder / MODEL)
    return Shipped(folder, student, float_score, shipped_score), exported.calibrated


def is_written_fp32(precisions: Precisions, precision: Precision) -> bool:
    """Whether files of this precision are written in float32."""
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
    engine_file, inputs = folder / "cut" / ENGINE, first_inputs(splits)
    if engine_file.exists():
        return engine_file.read_text(encoding="utf-8")
    if nothing_cut(parent.source, widths):
        begin_with(folder, parent.model, UNCUT, inputs)
        return UNCUT
    scores, moments = parent.importance.channels, parent.importance.moments
    cut = cut_to(parent.source, widths, scores, pruner, moments)
    recalibrate_batchnorm(cut.model, splits.train, batches=RECALIBRATION_BATCHES, seed=seed)
    begin_with(folder, cut.model, cut.engine, inputs)
    return cut.engine


def begin_with(folder: Path, model: GraphModule, engine: str, inputs: Tensors) -> None:
    """Write what a turn's student is before its training, unless it is there.

    Args:
        folder: of the turn.
        model: the student.
        engine: that removed its channels, or what else it is.
        inputs: samples that the model takes (N, ...).
    """
    engine_file = folder / "cut" / ENGINE
    if not engine_file.exists():
        save_model(model, make_folder(folder / "cut"), example=inputs)
        write_text(engine_file, engine)


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
        search = RateSearch(distiller, student, settings, teaching, masks, path).run
        if planned.sibling and begins_fresh(planned.sibling):
            search = partial(Found, rate_from_scratch(settings.optimizer, student), FRESH)
        settings = replace(
            settings, learning_rate=_rate(search, turn, context.journal, context.listener)
        )
    distiller.train(student, settings, teaching=teaching, checkpoint=checkpoint, masks=masks)


def _rated(journal: Journal, turn: int) -> RateChosen | None:
    events = journal.read()
    return next((e for e in events if isinstance(e, RateChosen) and e.turn == turn), None)


def _rate(search: Callable[[], Found], turn: int, journal: Journal, listener: Listener) -> float:
    """The learning rate of a turn's training: searched for once, then asked of the journal."""
    record = _rated(journal, turn)
    if record is None:
        best = search()
        record = RateChosen(
            turn=turn, learning_rate=best.rate, reason=best.reason, tried=best.tried
        )
        journal.append(record)
        say_all(listener, console.rate(record))
    return record.learning_rate
