"""Distillation as a run does it: who teaches, and a bar that shows how far it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.distill.settings import DISTILLATION_RATE, TrainSettings
from edgespiral.distill.trainer import train

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from torch import Tensor, nn

    from edgespiral.core.plan import Plan
    from edgespiral.distill.trainer import Progress
    from edgespiral.spiral.turn import Bench

# A warm network's loss falls at once at a low rate; at the full one it first rises.
WARM_RATE_SHARE = 0.2


def distil(
    bench: Bench,
    student: nn.Module,
    settings: TrainSettings,
    *,
    teachers: Sequence[nn.Module],
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
    with bench.listener.steps(f"{label}, {settings.epochs:g} epochs") as advance:

        def heard(progress: Progress) -> None:
            detail = f"loss {progress.loss:.3f}  {progress.samples_per_s:.0f}/s"
            advance(progress.step, progress.steps, detail)

        train(
            student,
            bench.splits,
            settings,
            teachers=teachers,
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


def teachers_of(bench: Bench, turn: int, model: nn.Module) -> Sequence[nn.Module]:
    """Whose outputs are learnt from `model`, which `turn` made, as the plan's `teacher` says."""
    original = bench.teacher.model
    if bench.plan.teacher == "original" or turn == 0:
        return [original]
    return [model] if bench.plan.teacher == "previous" else [original, model]
