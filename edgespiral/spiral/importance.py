"""What a turn's parent would lose by each cut, scored on training data."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import torch

from edgespiral.core.seeds import derived_seed
from edgespiral.distill import compute
from edgespiral.prune.criteria import Evidence, score
from edgespiral.prune.damage import Damage, in_nats
from edgespiral.prune.folding import moments

if TYPE_CHECKING:
    from torch import Tensor

    from edgespiral.core.batches import BatchSource
    from edgespiral.core.plan import Plan
    from edgespiral.prune.folding import Moments
    from edgespiral.spiral.cutting import Cuttable

BATCH = 128
SCORED_SAMPLES = 2048
# Measuring damage may cost this share of the run's training: a forward pass is a third of a step.
DAMAGE_SHARE = 0.03
FORWARDS_PER_STEP = 3
LEAST_SAMPLES, MOST_SAMPLES = 128, 1024
# And so may learning how its channels go together.
MOMENTS_SHARE = 0.01
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Importance:
    """Scores of channels and branches, both in nats a sample and so comparable."""

    channels: dict[str, Tensor]
    branches: dict[str, float]


def importance_of(plan: Plan, source: Cuttable, train: BatchSource, turn: int) -> Importance:
    """Score every channel and branch of `source`: a function of the seed and the turn alone.

    Raises:
        UsageError: no such criterion.
        DataError: there are no training samples.
    """
    seed = derived_seed(plan.seed, turn)
    size = min(BATCH, len(train))
    batches = [
        compute.to_device(*batch, CPU)
        for batch in islice(train.epoch(batch_size=size, seed=seed), SCORED_SAMPLES // size)
    ]
    probes = len(source.groups) + len(source.branches) + 1
    affordable = DAMAGE_SHARE * FORWARDS_PER_STEP * plan.epochs * len(train) / probes
    samples = min(MOST_SAMPLES, max(LEAST_SAMPLES, affordable))
    inputs = [inputs for inputs, _ in batches[: max(1, round(samples / size))]]
    precision = compute.resolved_precision("auto", CPU)
    with compute.placed([source.model], CPU), compute.autocast(precision, CPU):
        scores = score(plan.criterion, source.model, source.groups, Evidence(batches, seed))
        damage = Damage(source.model, source.groups, inputs)
        return Importance(
            in_nats(damage, scores), {b.name: damage.of_branch(b) for b in source.branches}
        )


def moments_of(plan: Plan, source: Cuttable, train: BatchSource, turn: int) -> dict[str, Moments]:
    """How the channels of `source` go together: a function of the seed and the turn alone."""
    size = min(BATCH, len(train))
    affordable = MOMENTS_SHARE * FORWARDS_PER_STEP * plan.epochs * len(train)
    count = max(1, round(min(SCORED_SAMPLES, max(LEAST_SAMPLES, affordable)) / size))
    batches = islice(train.epoch(batch_size=size, seed=derived_seed(plan.seed, turn)), count)
    inputs = (compute.to_device(*batch, CPU)[0] for batch in batches)
    with compute.placed([source.model], CPU):
        return moments(source.model, source.groups, inputs)
