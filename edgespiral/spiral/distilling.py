"""Distillation as a run does it: who teaches, and a bar that shows how far it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.distill.trainer import train

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import nn

    from edgespiral.distill.trainer import Progress, TrainSettings
    from edgespiral.spiral.cutting import Cuttable
    from edgespiral.spiral.turn import Bench


def distil(
    bench: Bench,
    student: nn.Module,
    settings: TrainSettings,
    *,
    teachers: Sequence[nn.Module],
    checkpoint: Path,
    label: str = "distilling",
) -> None:
    """Train `student` in place, going on from `checkpoint` where there is one.

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
            checkpoint=checkpoint,
            progress=heard,
        )


def teachers_of(bench: Bench, parent: Cuttable) -> Sequence[nn.Module]:
    """Whose outputs a turn from `parent` learns, as the plan's `teacher` says."""
    original = bench.teacher.model
    if bench.plan.teacher == "original" or parent.model is original:
        return [original]
    return [parent.model] if bench.plan.teacher == "previous" else [original, parent.model]
