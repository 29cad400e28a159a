"""Trying finalists: of several cuts that land alike, which one learns fastest.

What a cut loses at once says little of what training wins back: cuts with equal losses before
training ended half a point apart after it. A short piece of the training itself tells them apart
(docs/allocation.md), in the manner of successive halving (Jamieson and Talwalkar 2016, section 3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.core.records import Finalist
from edgespiral.core.seeds import derived_seed
from edgespiral.distill.trainer import recalibrate_batchnorm, train
from edgespiral.spiral.cutting import cut_to
from edgespiral.spiral.distilling import WARM_RATE_SHARE, distillation, teaching_of
from edgespiral.spiral.sparsity import thinned

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edgespiral.core.plan import Plan
    from edgespiral.distill.settings import TrainSettings
    from edgespiral.distill.trainer import Progress
    from edgespiral.spiral.distilling import Teaching
    from edgespiral.spiral.planner import Planned
    from edgespiral.spiral.turn import Bench, Parent

FINALISTS = 5
# Of a turn's training, for each finalist.
TRIAL_SHARE = 0.03
LEAST_TRIAL_STEPS = 20
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
    settings = distillation(
        bench.plan,
        epochs=TRIAL_SHARE * epochs,
        seed=derived_seed(bench.plan.seed, turn, 1),
        rate_share=WARM_RATE_SHARE,
    )
    # Before the bars of the trials, which would be inside one another.
    teaching = teaching_of(bench, parent.turn, parent.model)
    tried = []
    for number, finalist in enumerate(finalists, 1):
        with bench.listener.steps(f"trying cut {number} of {len(finalists)}") as advance:
            loss = _trial_loss(
                bench, parent, finalist, settings, teaching=teaching, advance=advance
            )
        tried.append(
            Finalist(widths=finalist.widths, latency_ms=finalist.latency_ms, trial_loss=loss)
        )
    return sorted(tried, key=lambda finalist: finalist.trial_loss)


def _trial_loss(
    bench: Bench,
    parent: Parent,
    finalist: Planned,
    settings: TrainSettings,
    *,
    teaching: Teaching,
    advance: Callable[[int, int, str], None],
) -> float:
    scores, moments = parent.importance.channels, parent.importance.moments
    model = cut_to(parent.source, finalist.widths, scores, bench.plan.pruner, moments).model
    train_data = bench.splits.train
    recalibrate_batchnorm(model, train_data, batches=RECALIBRATION_BATCHES, seed=settings.seed)
    masks = thinned(
        bench.plan, model, train_data, batches=RECALIBRATION_BATCHES, seed=settings.seed
    )

    def heard(progress: Progress) -> None:
        advance(progress.step, progress.steps, f"loss {progress.loss:.3f}")

    tried = train(
        model,
        bench.splits,
        settings,
        teachers=teaching.teachers,
        outputs=teaching.outputs,
        masks=masks,
        progress=heard,
    )
    return tried.train_loss
