"""Trying finalists: of several cuts that land alike, which one learns fastest.

What a cut loses at once says little of what training wins back: cuts with equal losses before
training ended half a point apart after it. A short piece of the training itself tells them apart
(docs/allocation.md), in the manner of successive halving (Jamieson and Talwalkar 2016, section 3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.core.records import Finalist
from edgespiral.core.seeds import derived_seed
from edgespiral.distill.settings import DISTILLATION_RATE
from edgespiral.distill.trainer import TrainSettings, recalibrate_batchnorm, train
from edgespiral.spiral.cutting import cut_to
from edgespiral.spiral.distilling import teachers_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edgespiral.core.plan import Plan
    from edgespiral.distill.trainer import Progress
    from edgespiral.spiral.planner import Planned
    from edgespiral.spiral.turn import Bench, Parent

FINALISTS = 5
# Of a turn's training, for each finalist.
TRIAL_SHARE = 0.03
LEAST_TRIAL_STEPS = 20
# A warm network's loss falls at once at a low rate; at the full one it first rises.
TRIAL_RATE_SHARE = 0.2
RECALIBRATION_BATCHES = 10


def finalists_worth_trying(plan: Plan, samples: int, epochs: float) -> int:
    """How many cuts a turn of `epochs` over `samples` may try; 1 if a trial would be too short."""
    steps = TRIAL_SHARE * epochs * (samples // plan.batch_size)
    return FINALISTS if steps >= LEAST_TRIAL_STEPS and plan.allocation == "latency" else 1


def try_finalists(
    bench: Bench, parent: Parent, finalists: Sequence[Planned], *, turn: int, epochs: float
) -> list[Finalist]:
    """Distil each finalist for `TRIAL_SHARE` of `epochs` on the same batches; best first.

    Raises:
        ModelError: a cut is impossible.
        TrainingError: a trial diverged.
    """
    settings = _settings(bench.plan, turn, epochs)
    tried = []
    for number, finalist in enumerate(finalists, 1):
        with bench.listener.steps(f"trying cut {number} of {len(finalists)}") as advance:
            loss = _trial_loss(bench, parent, finalist, settings, advance)
        tried.append(
            Finalist(widths=finalist.widths, latency_ms=finalist.latency_ms, trial_loss=loss)
        )
    return sorted(tried, key=lambda finalist: finalist.trial_loss)


def _settings(plan: Plan, turn: int, epochs: float) -> TrainSettings:
    rate = DISTILLATION_RATE if plan.learning_rate is None else plan.learning_rate
    return TrainSettings.for_distillation(
        epochs=TRIAL_SHARE * epochs,
        batch_size=plan.batch_size,
        learning_rate=TRIAL_RATE_SHARE * rate,
        temperature=plan.temperature,
        alpha=plan.alpha,
        seed=derived_seed(plan.seed, turn, 1),
    )


def _trial_loss(
    bench: Bench,
    parent: Parent,
    finalist: Planned,
    settings: TrainSettings,
    advance: Callable[[int, int, str], None],
) -> float:
    scores = parent.importance.channels
    model = cut_to(parent.source, finalist.widths, scores, bench.plan.pruner).model
    train_data = bench.splits.train
    recalibrate_batchnorm(model, train_data, batches=RECALIBRATION_BATCHES, seed=settings.seed)

    def heard(progress: Progress) -> None:
        advance(progress.step, progress.steps, f"loss {progress.loss:.3f}")

    teachers = teachers_of(bench, parent.source)
    return train(model, bench.splits, settings, teachers=teachers, progress=heard).train_loss
