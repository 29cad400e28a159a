"""What a turn's parent would lose by a cut, measured on training data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from edgespiral.core.nested import count, rows
from edgespiral.core.seeds import derived_seed
from edgespiral.data.passes import PassDigest
from edgespiral.distill import compute
from edgespiral.prune.branches import dropped
from edgespiral.prune.scoring.criteria import CRITERIA
from edgespiral.prune.scoring.criteria.base import Evidence
from edgespiral.prune.scoring.divergence import OutputDivergence, priced
from edgespiral.prune.scoring.obs import after_folding
from edgespiral.prune.scoring.reconstruct import moments
from edgespiral.spiral.planning.pace import Pace
from edgespiral.spiral.workers.passes import SharedDivergence, SharedPasses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from torch import Tensor
    from torch.fx import GraphModule

    from edgespiral.core.batches import BatchSource
    from edgespiral.core.nested import Tensors
    from edgespiral.prune.prunable import PrunableModel
    from edgespiral.prune.scoring.reconstruct import Moments
    from edgespiral.tasks.base import Task

BATCH = 128
# A criterion reads gradients; what that costs, up to this share of the run's training.
SCORED_SHARE = 0.02
LEAST_SCORED, MOST_SCORED = 256, 1024
# Measuring damage may cost this share of the run's training: a forward pass is a third of a step.
DAMAGE_SHARE = 0.03
FORWARDS_PER_STEP = 3
LEAST_SAMPLES, MOST_SAMPLES = 128, 256
# It is measured on so many at a time, and on more only where that does not tell prices apart. Of
# fewer values a channel than this, batch norms would take their statistics too roughly.
MOST_AT_ONCE, LEAST_VALUES = 32, 512
# So many samples tell whole cuts apart: which of them is better is the same with four times more.
COMPARED_SAMPLES = 256
COMPARED_SHARE = 0.04
LEAST_COMPARED, MOST_COMPARED = 16, 40
# And so may learning how its channels go together, in one pass.
MOMENTS_SHARE = 0.01
MOST_FOR_MOMENTS = 2048
CPU = torch.device("cpu")
Batch = TypeVar("Batch")


@dataclass(frozen=True)
class Importance:
    """Scores of channels and branches, both in nats a sample and so comparable.

    `moments` says, layer by layer, how the channels go together.
    """

    channels: dict[str, Tensor]
    branches: dict[str, float]
    moments: dict[str, Moments]


@dataclass(frozen=True)
class Scorer:
    """Measures what cutting a model would lose, on a run's training data.

    Attributes:
        criterion: a name of `CRITERIA`.
        train: the training samples.
        epochs: of the run's training; scoring may cost a share of what they do.
        seed: of the run. What is measured is a function of it and of the turn alone.
        task: whose outputs they are.
        task_name: what the run's plan calls it.
    """

    criterion: str
    train: BatchSource
    epochs: float
    seed: int
    task: Task
    task_name: str = ""

    def shown_sha256(self, turn: int) -> str:
        """SHA-256 of the samples, as they are shown, that `importance` may look at for `turn`."""
        digest = PassDigest()
        for batch in _shown(self.train, MOST_FOR_MOMENTS, derived_seed(self.seed, turn)):
            digest.add(*batch)
        return digest.hexdigest()

    def importance(
        self,
        source: PrunableModel,
        turn: int,
        heard: Callable[[int, int, str], None] = lambda _done, _total, _detail: None,
    ) -> Importance:
        """Score every channel and branch of `source`.

        Args:
            heard: told how many passes are done, how many there may be, and what they are for.

        Raises:
            UsageError: no such criterion.
            DataError: there are no training samples.
        """
        criterion = CRITERIA.get(self.criterion)
        seed = derived_seed(self.seed, turn)
        shown = shown_samples(self.epochs, source, self.train, seed)
        passes = _Passes(heard, shown.passes(len(source.groups) + len(source.branches)))
        precision = compute.resolved_precision("auto", CPU)
        with compute.placed([source.model], CPU), compute.autocast(precision, CPU):
            covariances = passes.over(shown.for_moments, "covariances")
            together = moments(source.model, source.groups, covariances)
            shared = SharedPasses.begun(source, precision)
            batches = passes.over(shown.for_scores, self.criterion)
            scores = self._scores(source, batches, seed, shared)
            if not criterion.is_control:
                scores = after_folding(scores, source.model, source.groups, together)
            damage = self._divergence(source, shown.for_damage, together, shared)
            prices = priced(damage, scores, source.branches, partial(passes.add, "prices"))
        return Importance(prices.channels, prices.branches, together)

    def _scores(
        self,
        source: PrunableModel,
        batches: _Counted[tuple[Tensors, Tensors]],
        seed: int,
        shared: SharedPasses | None,
    ) -> dict[str, Tensor]:
        """Those of the criterion; of all processes where it can take means of shares."""
        criterion = CRITERIA.get(self.criterion)
        labelled = [batch for batch in batches.batches if batch[1] is not None]
        if shared is None or not criterion.is_mean or not labelled:
            evidence = Evidence(batches, seed, losses=self.task.sample_losses)
            return criterion.score(source.model, source.groups, evidence)
        scores = shared.scores(self.criterion, labelled, seed, self.task)
        for _ in batches:
            pass
        return scores

    def _divergence(
        self,
        source: PrunableModel,
        inputs: Sequence[Tensors],
        together: Mapping[str, Moments],
        shared: SharedPasses | None,
    ) -> OutputDivergence:
        model, groups = source.model, source.groups
        if shared is None:
            return OutputDivergence(model, groups, inputs, together, task=self.task)
        return SharedDivergence(model, groups, inputs, together, task=self.task, passes=shared)

    def damage_of_cuts(
        self, source: PrunableModel, importance: Importance, turn: int
    ) -> Callable[[Sequence[Mapping[str, int]]], list[float]]:
        """A measure of what cutting `source` to widths does to its outputs, in nats a sample.

        It takes several cuts at once, and says infinity of one whose outputs are not finite.

        Raises:
            DataError: there are no training samples.
        """
        seed = derived_seed(self.seed, turn, 4)
        batches = [batch for batch, _ in _batches(self.train, COMPARED_SAMPLES, seed)]
        pace = Pace.of(source.model, source.example)
        inputs = _parts(batches, BATCH, pace.for_comparisons(COMPARED_SAMPLES, LEAST_COMPARED))
        precision = compute.resolved_precision("auto", CPU)
        with compute.placed([source.model], CPU), compute.autocast(precision, CPU):
            shared = SharedPasses.begun(source, precision)
            damage = self._divergence(source, inputs, importance.moments, shared)

        def measured(cuts: Sequence[Mapping[str, int]]) -> list[float]:
            variants = (
                damage.cut(importance.channels, widths, dropped(source.branches, widths))
                for widths in cuts
            )
            with compute.autocast(precision, CPU):
                return damage.of_whole(variants)

        return measured


class Shown(NamedTuple):
    """Training data of each part of scoring: as much as its share of the training allows."""

    for_moments: list[Tensors]
    for_scores: list[tuple[Tensors, Tensors]]
    for_damage: list[Tensors]

    def passes(self, prices: int) -> int:
        """How many batches are run at most."""
        return len(self.for_moments) + len(self.for_scores) + prices * len(self.for_damage)


def shown_samples(epochs: float, source: PrunableModel, train: BatchSource, seed: int) -> Shown:
    """The training data that scoring `source` looks at.

    Args:
        epochs: of the run's training, a share of which scoring may cost.
        source: what is scored.
        train: the training samples.
        seed: of the order in which they are shown.
    """
    batches = _batches(train, MOST_FOR_MOMENTS, seed)
    forwards = FORWARDS_PER_STEP * epochs * len(train)
    size = min(BATCH, len(train))

    def some(affordable: float, least: int, most: int) -> list[tuple[Tensors, Tensors]]:
        samples = min(most, max(least, affordable))
        return batches[: max(1, round(samples / size))]

    pace = Pace.of(source.model, source.example)
    probes = len(source.groups) + len(source.branches) + 1
    damaged = some(DAMAGE_SHARE * forwards / probes, LEAST_SAMPLES, MOST_SAMPLES)
    moved = some(MOMENTS_SHARE * forwards, LEAST_SAMPLES, MOST_FOR_MOMENTS)
    scored = some(SCORED_SHARE * forwards / FORWARDS_PER_STEP, LEAST_SCORED, MOST_SCORED)
    at_once = samples_at_once(source.model, pace, probes)
    return Shown(
        _parts([inputs for inputs, _ in moved], BATCH, pace.for_covariances(len(moved) * size)),
        _parts(scored, pace.kept_at_once(BATCH), pace.for_gradients(len(scored) * size)),
        _parts(
            [inputs for inputs, _ in damaged],
            at_once,
            max(at_once, pace.for_prices(len(damaged) * size, probes)),
        ),
    )


def samples_at_once(model: GraphModule, pace: Pace, variants: int) -> int:
    """Samples that a tour with so many variants takes: of which batch norms get values enough.

    Args:
        model: with known shapes.
        pace: what a sample takes.
        variants: how many are run beside the model.
    """
    shapes = [
        tuple(getattr(node.meta.get("tensor_meta"), "shape", ()))
        for node in model.graph.nodes
        if node.op == "call_module" and isinstance(model.get_submodule(node.target), _BatchNorm)
    ]
    least = min((math.prod(shape[2:]) for shape in shapes), default=LEAST_VALUES)
    return max(pace.in_a_tour(MOST_AT_ONCE, variants), -(-LEAST_VALUES // least))


def _parts(batches: Sequence[Tensors], at_once: int, most: int) -> list[Tensors]:
    """The first samples of all batches, `most` or fewer, in equal parts of `at_once` or more."""
    shown: list[Tensors] = []
    for batch in batches:
        places = torch.arange(min(count(batch), most))
        most -= len(places)
        parts = places.tensor_split(max(1, len(places) // at_once))
        shown += [
            rows(batch, slice(int(part[0]), int(part[-1]) + 1)) for part in parts if len(part)
        ]
    return shown


class _Passes:
    """Tells how many batches have been run, and what for."""

    def __init__(self, heard: Callable[[int, int, str], None], total: int) -> None:
        self._heard, self._total, self._done = heard, total, 0
        heard(0, total, "")

    def add(self, detail: str) -> None:
        """One more."""
        self._done += 1
        self._heard(self._done, self._total, detail)

    def over(self, batches: Sequence[Batch], detail: str) -> _Counted[Batch]:
        """The batches, of which each counts as it is gone over."""
        return _Counted(batches, partial(self.add, detail))


@dataclass(frozen=True)
class _Counted(Generic[Batch]):
    """Batches that can be gone over again and again, and who hears of each."""

    batches: Sequence[Batch]
    heard: Callable[[], None]

    def __iter__(self) -> Iterator[Batch]:
        for batch in self.batches:
            yield batch
            self.heard()


def comparable(epochs: float, samples: int, pace: Pace) -> int:
    """How many whole cuts training for `epochs` over `samples` can afford to compare; 0 if few.

    Args:
        pace: what a sample takes: of models that take long, fewer can be compared.
    """
    forwards = FORWARDS_PER_STEP * epochs * samples
    number = min(
        MOST_COMPARED,
        int(COMPARED_SHARE * forwards / COMPARED_SAMPLES),
        pace.comparisons(pace.for_comparisons(COMPARED_SAMPLES, LEAST_COMPARED)),
    )
    return number if number >= LEAST_COMPARED else 0


def _batches(train: BatchSource, samples: int, seed: int) -> list[tuple[Tensors, Tensors]]:
    """About so many shuffled samples, in whole batches."""
    return [compute.to_device(*batch, CPU) for batch in _shown(train, samples, seed)]


def _shown(train: BatchSource, samples: int, seed: int) -> Iterator[tuple[Tensors, Tensors]]:
    size = min(BATCH, len(train))
    return islice(train.epoch(batch_size=size, seed=seed), samples // size)
