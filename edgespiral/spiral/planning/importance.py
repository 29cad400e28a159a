"""What a turn's parent would lose by a cut, measured on training data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import torch

from edgespiral.core.errors import ModelError
from edgespiral.core.seeds import derived_seed
from edgespiral.distill import compute
from edgespiral.prune.branches import dropped
from edgespiral.prune.scoring.criteria import CRITERIA
from edgespiral.prune.scoring.criteria.base import Evidence
from edgespiral.prune.scoring.divergence import OutputDivergence, in_nats
from edgespiral.prune.scoring.obs import after_folding
from edgespiral.prune.scoring.reconstruct import moments
from edgespiral.tasks.classification import CLASSIFICATION

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    from edgespiral.core.batches import BatchSource
    from edgespiral.prune.prunable import PrunableModel
    from edgespiral.prune.scoring.reconstruct import Moments
    from edgespiral.spiral.plan import Plan
    from edgespiral.tasks.base import Task

BATCH = 128
SCORED_SAMPLES = 1024
# Measuring damage may cost this share of the run's training: a forward pass is a third of a step.
DAMAGE_SHARE = 0.03
FORWARDS_PER_STEP = 3
LEAST_SAMPLES, MOST_SAMPLES = 128, 256
# So many samples tell whole cuts apart: which of them is better is the same with four times more.
COMPARED_SAMPLES = 256
COMPARED_SHARE = 0.04
LEAST_COMPARED, MOST_COMPARED = 16, 40
# And so may learning how its channels go together, in one pass.
MOMENTS_SHARE = 0.01
MOST_FOR_MOMENTS = 2048
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Importance:
    """Scores of channels and branches, both in nats a sample and so comparable.

    `moments` says, layer by layer, how the channels go together.
    """

    channels: dict[str, Tensor]
    branches: dict[str, float]
    moments: dict[str, Moments]


def importance_of(
    plan: Plan,
    source: PrunableModel,
    train: BatchSource,
    turn: int,
    *,
    task: Task = CLASSIFICATION,
) -> Importance:
    """Score every channel and branch of `source`: a function of the seed and the turn alone.

    Raises:
        UsageError: no such criterion.
        DataError: there are no training samples.
    """
    criterion = CRITERIA.get(plan.criterion)
    seed = derived_seed(plan.seed, turn)
    size = min(BATCH, len(train))
    batches = _batches(train, MOST_FOR_MOMENTS, seed)
    probes = len(source.groups) + len(source.branches) + 1
    forwards = FORWARDS_PER_STEP * plan.epochs * len(train)

    def inputs(affordable: float, most: int) -> list[Tensor]:
        samples = min(most, max(LEAST_SAMPLES, affordable))
        return [inputs for inputs, _ in batches[: max(1, round(samples / size))]]

    for_damage = inputs(DAMAGE_SHARE * forwards / probes, MOST_SAMPLES)
    precision = compute.resolved_precision("auto", CPU)
    with compute.placed([source.model], CPU), compute.autocast(precision, CPU):
        known = moments(
            source.model, source.groups, inputs(MOMENTS_SHARE * forwards, MOST_FOR_MOMENTS)
        )
        evidence = Evidence(batches[: SCORED_SAMPLES // size], seed, task.sample_losses)
        scores = criterion.score(source.model, source.groups, evidence)
        if not criterion.is_control:
            scores = after_folding(scores, source.model, source.groups, known)
        damage = OutputDivergence(source.model, source.groups, for_damage, known, task)
        channels = in_nats(damage, scores)
        branches = {b.name: damage.of_branch(b) for b in source.branches}
    return Importance(channels, branches, known)


def comparable(epochs: float, samples: int) -> int:
    """How many whole cuts training for `epochs` over `samples` can afford to compare; 0 if few."""
    forwards = FORWARDS_PER_STEP * epochs * samples
    number = int(COMPARED_SHARE * forwards / COMPARED_SAMPLES)
    return min(number, MOST_COMPARED) if number >= LEAST_COMPARED else 0


def damage_of_cuts(
    plan: Plan,
    source: PrunableModel,
    importance: Importance,
    train: BatchSource,
    turn: int,
    *,
    task: Task = CLASSIFICATION,
) -> Callable[[Mapping[str, int]], float]:
    """A measure of what cutting `source` to widths does to its outputs, in nats a sample.

    Raises:
        DataError: there are no training samples.
    """
    seed = derived_seed(plan.seed, turn, 4)
    inputs = [batch for batch, _ in _batches(train, COMPARED_SAMPLES, seed)]
    precision = compute.resolved_precision("auto", CPU)
    with compute.placed([source.model], CPU), compute.autocast(precision, CPU):
        damage = OutputDivergence(source.model, source.groups, inputs, importance.moments, task)

    def measured(widths: Mapping[str, int]) -> float:
        gone = dropped(source.branches, widths)
        try:
            with compute.autocast(precision, CPU):
                return damage.of_cut(importance.channels, widths, gone)
        except ModelError:  # its outputs are not finite: the worst there is
            return math.inf

    return measured


def _batches(train: BatchSource, samples: int, seed: int) -> list[tuple[Tensor, Tensor]]:
    """About so many shuffled samples, in whole batches."""
    size = min(BATCH, len(train))
    shown = islice(train.epoch(batch_size=size, seed=seed), samples // size)
    return [compute.to_device(*batch, CPU) for batch in shown]
