"""Distillation as a run does it: who teaches, and a bar that shows how far it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

from edgespiral.core.batches import first_inputs
from edgespiral.core.nested import leaves, mapped
from edgespiral.core.system.temporary import claim_folder
from edgespiral.distill.settings import DISTILLATION_RATE, TrainSettings
from edgespiral.distill.teacher_cache import can_be_kept, kept_outputs
from edgespiral.distill.trainer import train
from edgespiral.models.calling import call
from edgespiral.models.modes import evaluating

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from torch import Tensor, nn

    from edgespiral.core.nested import Tensors
    from edgespiral.distill.trainer import Progress
    from edgespiral.spiral.context import RunContext
    from edgespiral.spiral.plan import Plan

# A warm network's loss falls at once at a low rate; at the full one it first rises.
WARM_RATE_SHARE = 0.2
# Where teachers' outputs lie during a run.
OUTPUTS = "outputs"


class Teaching(NamedTuple):
    """The teachers of a turn, and their outputs (T, N, ...) for the training samples if kept."""

    teachers: Sequence[nn.Module]
    outputs: Tensors | None = None


def distil(
    context: RunContext,
    student: nn.Module,
    settings: TrainSettings,
    *,
    teaching: Teaching,
    checkpoint: Path,
    masks: Mapping[str, Tensor] | None = None,
    label: str = "distilling",
) -> None:
    """Train `student` in place, going on from `checkpoint` where there is one.

    Args:
        masks: by parameter name, True where a weight may be other than zero.
        label: of the bar.

    Raises:
        TrainingError: it diverged; the last good state is kept.
    """
    with context.listener.steps(f"{label}, {settings.epochs:g} epochs") as advance:

        def heard(progress: Progress) -> None:
            detail = f"loss {progress.loss:.3f}  {progress.samples_per_s:.0f}/s"
            advance(progress.step, progress.steps, detail)

        train(
            student,
            context.splits,
            settings,
            task=context.task,
            teachers=teaching.teachers,
            outputs=teaching.outputs,
            masks=masks or {},
            checkpoint=checkpoint,
            progress=heard,
        )


def distillation(plan: Plan, *, epochs: float, seed: int, rate_share: float = 1.0) -> TrainSettings:
    """How a run distils, for `epochs` and at `rate_share` of its learning rate."""
    rate = DISTILLATION_RATE if plan.learning_rate is None else plan.learning_rate
    return TrainSettings.for_distillation(
        epochs=epochs,
        batch_size=plan.batch_size,
        learning_rate=rate_share * rate,
        temperature=plan.temperature,
        alpha=plan.alpha,
        seed=seed,
    )


def teaching_of(context: RunContext, turn: int, model: nn.Module, *, epochs: float) -> Teaching:
    """Who teaches the student of `model`, which `turn` made, as the plan's `teacher` says.

    Outputs are kept where samples are shown as they are stored and every teacher is asked for more
    than one epoch: the original in all of a run's, others in the `epochs` of this training.

    Raises:
        RunFolderError: kept outputs are damaged or cannot be written.
    """
    teachers, source = _teachers(context, turn, model), context.splits.train
    models = list(teachers.values())
    asked_epochs = epochs if any(teachers) else context.plan.epochs
    if asked_epochs <= 1 or not can_be_kept(source, _values(context)):
        return Teaching(models)
    outputs = [_outputs(context, *pair) for pair in teachers.items()]
    return Teaching(models, mapped(lambda *leaf: torch.stack(leaf), *outputs))


def _values(context: RunContext) -> int:
    """How many numbers the teacher's outputs are for a sample."""
    splits = context.splits
    with torch.no_grad(), evaluating(context.teacher.model):
        outputs = call(context.teacher.model, first_inputs(splits, 1))
    return sum(leaf.numel() for leaf in leaves(outputs).values())


def teaching_live(context: RunContext, turn: int, model: nn.Module) -> Teaching:
    """The same teachers, asked at every step in the precision of the student's training."""
    return Teaching(list(_teachers(context, turn, model).values()))


def _teachers(context: RunContext, turn: int, model: nn.Module) -> dict[int, nn.Module]:
    known = {turn: model, 0: context.teacher.model}
    turns = {"original": [0], "previous": [turn], "both": sorted({0, turn})}[context.plan.teacher]
    return {number: known[number] for number in turns}


def kept_folder(context: RunContext) -> Path:
    """Where teachers' outputs lie during a run."""
    return context.out / OUTPUTS


def _outputs(context: RunContext, turn: int, model: nn.Module) -> Tensors:
    path = claim_folder(kept_folder(context)) / f"turn-{turn:02d}.safetensors"
    source = context.splits.train
    if path.exists():
        return kept_outputs(path, model, source)
    with context.listener.steps("asking the teacher about every sample") as advance:
        return kept_outputs(path, model, source, lambda done, of: advance(done, of, ""))
