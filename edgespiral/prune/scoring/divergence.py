"""What removals do to the model's own outputs, measured with batch norm adapted.

Scores order the channels of one group well, but compare poorly across groups: a sum of small
effects says little about a large cut, and batch norm absorbs part of it at once. So one number a
group is measured: how far the outputs move when its less important half is masked. It gives every
criterion, norms of weights too, a common unit (nats), and prices whole branches in it as well.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from edgespiral.core.errors import DataError, ModelError
from edgespiral.core.nested import as_float, count, plain
from edgespiral.models.calling import call, positional
from edgespiral.prune.groups import widths_of
from edgespiral.prune.scoring.select import keep_best, unit_scores
from edgespiral.prune.scoring.variants import Tour, Variant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from torch import Tensor
    from torch.fx import GraphModule

    from edgespiral.core.nested import Tensors
    from edgespiral.prune.branches import Branch
    from edgespiral.prune.groups import ChannelGroup
    from edgespiral.prune.scoring.reconstruct import Moments
    from edgespiral.tasks.base import Task

LEAST_SHARE_OF_NOISE = 0.1
# Standard error of a price beside the others, as a share of it, at which no more samples are asked.
PRICE_ERROR = 0.2


class Prices(NamedTuple):
    """Scores of channels, scaled, and what each branch costs, both in nats a sample."""

    channels: dict[str, Tensor]
    branches: dict[str, float]


@dataclass
class OutputDivergence:
    """Mean divergence of masked outputs from the model's own, in nats a sample.

    Batch norm uses each batch's statistics in the masked model, which is what re-estimating them
    after the cut comes to. What that alone does, with nothing masked, is subtracted as noise.

    Args:
        model: the traced model.
        groups: its groups.
        inputs: batches (N, C, H, W) of training data.
        moments: of the model's layers; with them what goes is folded into what stays.
        task: whose divergence it is.

    Raises:
        DataError: no inputs.
        ModelError: the model's outputs are not finite.
    """

    model: GraphModule
    groups: Sequence[ChannelGroup]
    inputs: Sequence[Tensors]
    moments: Mapping[str, Moments] = field(default_factory=dict)
    task: Task = field(kw_only=True)

    def __post_init__(self) -> None:
        """Run the first batch, so that a model whose outputs are of no use is refused at once."""
        if not self.inputs:
            raise DataError("measuring the damage of a cut needs training samples, and got none")
        self._probe = _adapting_batchnorm(self.model)
        self._adapts = any(isinstance(module, _BatchNorm) for module in self._probe.modules())
        self._whole = copy.deepcopy(self.model).eval()
        self._own: dict[int, Tensors] = {}
        self._noise: dict[int, Tensor] = {}
        self._noise_of(0)

    def of_widths(self, importance: Mapping[str, Tensor], widths: Mapping[str, int]) -> float:
        """Damage of cutting groups to `widths`, the least important channels first."""
        return self.of_cut(importance, {**widths_of(self.groups), **widths})

    def of_branch(self, branch: Branch) -> float:
        """Damage of dropping `branch`."""
        return self.of(self.variant({}, (branch,)))

    def of_cut(
        self,
        importance: Mapping[str, Tensor],
        widths: Mapping[str, int],
        branches: Sequence[Branch] = (),
    ) -> float:
        """Damage of cutting all groups to `widths`, with `branches` gone."""
        return self.of(self.cut(importance, widths, branches))

    def cut(
        self,
        importance: Mapping[str, Tensor],
        widths: Mapping[str, int],
        branches: Sequence[Branch] = (),
    ) -> Variant:
        """The model with all groups cut to `widths`, with `branches` gone."""
        return self.variant(keep_best(self.groups, importance, widths), branches)

    def variant(
        self, kept_channels: Mapping[str, Sequence[int]], branches: Sequence[Branch] = ()
    ) -> Variant:
        """The model with `kept_channels` of groups, those not named whole, less `branches`."""
        return Variant.of(self._probe, self.groups, kept_channels, branches, self.moments)

    @torch.no_grad()
    def of(self, variant: Variant) -> float:
        """Damage of a variant of the model, on all samples."""
        with variant.applied(self._probe) as silenced:
            moved = [
                self._moved(i, plain(silenced.run(*positional(self.model.graph, batch))))
                for i, batch in enumerate(self.inputs)
            ]
        return self._beyond_noise(torch.cat(moved))

    @torch.no_grad()
    def of_each(
        self, variants: Sequence[Variant], heard: Callable[[], None] = lambda: None
    ) -> list[float]:
        """Damage of each of some variants, on as many samples as tell them apart.

        All see the same samples. Batches are run until half of the damages, beside the mean of all,
        have a standard error of `PRICE_ERROR` at most, or none are left.

        Args:
            variants: of the model, as `variant` makes them.
            heard: called when one of them has been run on a batch.
        """
        moved = torch.zeros(len(variants), 0, dtype=torch.double)
        for index in range(len(self.inputs) if variants else 0):
            together = self.together(index, variants, heard)
            if together.isnan().any():
                raise _not_finite()
            moved = torch.cat([moved, together], dim=1)
            if _standard_error(moved - self._noise_up_to(moved.shape[1])) <= PRICE_ERROR:
                break
        return [self._beyond_noise(samples) for samples in moved]

    def of_whole(self, variants: Iterable[Variant]) -> list[float]:
        """Damage of each variant on all samples; infinite where its outputs are not finite."""
        return [self._of_or_infinite(variant) for variant in variants]

    def _of_or_infinite(self, variant: Variant) -> float:
        try:
            return self.of(variant)
        except ModelError:
            return math.inf

    @torch.no_grad()
    def together(
        self, index: int, variants: Sequence[Variant], heard: Callable[[], None] = lambda: None
    ) -> Tensor:
        """How far each variant moves each sample of a batch, in nats: (variants, samples).

        NaN where outputs are not finite.

        Args:
            index: of the batch, among `inputs`.
            variants: of the model, which is run once for all of them.
            heard: called when one of them has been run.
        """
        batch = self.inputs[index]
        moved = torch.zeros(len(variants), count(batch), dtype=torch.double)

        def seen(number: int, outputs: object) -> None:
            moved[number] = self._distance(index, plain(outputs))
            heard()

        tour = Tour(self._probe, variants, seen)
        whole = plain(tour.run(*positional(self.model.graph, batch)))
        self._noise[index] = self._moved(index, whole)
        return moved

    def _beyond_noise(self, moved: Tensor) -> float:
        """The mean of the first samples' (samples,) beyond what nothing masked does to them."""
        noise = float(self._noise_up_to(len(moved)).mean())
        return max(float(moved.mean()) - noise, LEAST_SHARE_OF_NOISE * noise, 1e-9)

    def _noise_up_to(self, samples: int) -> Tensor:
        """How far batch statistics alone move the first samples: (samples,)."""
        noise: list[Tensor] = []
        while sum(map(len, noise)) < samples:
            noise.append(self._noise_of(len(noise)))
        return torch.cat(noise)

    @torch.no_grad()
    def _noise_of(self, index: int) -> Tensor:
        if index not in self._noise:
            # Without batch norms nothing masked is the model itself, and need not be run for it.
            outputs = call(self._probe, self.inputs[index]) if self._adapts else self._own_of(index)
            self._noise[index] = self._moved(index, outputs)
        return self._noise[index]

    def _moved(self, index: int, outputs: Tensors) -> Tensor:
        """`_distance` of outputs that have to be finite."""
        moved = self._distance(index, outputs)
        if moved.isnan().any():
            raise _not_finite()
        return moved

    def _distance(self, index: int, outputs: Tensors) -> Tensor:
        """How far `outputs` are from the model's own, in nats, for each sample of a batch: (N,)."""
        return self.task.divergence(as_float(outputs), self._own_of(index)).double().cpu()

    def _own_of(self, index: int) -> Tensors:
        """The model's own outputs."""
        if index not in self._own:
            self._own[index] = as_float(call(self._whole, self.inputs[index]))
        return self._own[index]


def _not_finite() -> ModelError:
    return ModelError("the model's outputs are not finite", hint="check the weights")


def priced(
    damage: OutputDivergence,
    importance: Mapping[str, Tensor],
    branches: Sequence[Branch] = (),
    heard: Callable[[], None] = lambda: None,
) -> Prices:
    """Scale scores group by group so that losing half of a group counts its damage.

    Args:
        damage: measures it, of branches too.
        importance: per group (channels,) scores; the least lose first.
        branches: those to be priced as well.
        heard: called when one of the groups or branches has been run on a batch.
    """
    halves = {g.name: g.units // 2 * g.sub_groups for g in damage.groups if g.units > 1}
    kept_channels = keep_best(damage.groups, importance, {**widths_of(damage.groups), **halves})
    variants = [damage.variant({name: kept_channels[name]}) for name in halves]
    variants += [damage.variant({}, (branch,)) for branch in branches]
    costs = damage.of_each(variants, heard)
    half_costs = dict(zip(halves, costs, strict=False))
    return Prices(
        {
            group.name: importance[group.name] * _scale(group, importance, half_costs)
            for group in damage.groups
        },
        {b.name: cost for b, cost in zip(branches, costs[len(halves) :], strict=True)},
    )


def _scale(
    group: ChannelGroup, importance: Mapping[str, Tensor], half_costs: Mapping[str, float]
) -> float:
    if group.name not in half_costs:
        return 1.0
    scores = unit_scores(group, importance[group.name].double())
    lost = float(scores.sort().values[: group.units - group.units // 2].sum())
    least = max(1e-9 * float(scores.sum()), torch.finfo(torch.float).tiny)
    return half_costs[group.name] / max(lost, least)


def _standard_error(beyond: Tensor) -> float:
    """The median, over variants, of the error of a damage beside the mean of all, as a share of it.

    Args:
        beyond: damage of each variant on each sample, (variants, samples).

    A sample that all variants move far makes all of them look worse, and says nothing of which is:
    only what a variant does beyond its share of the mean counts as error.
    """
    means, common = beyond.mean(1, keepdim=True), beyond.mean(0)
    rest = beyond - means / common.mean() * common
    errors = rest.std(1) / beyond.shape[1] ** 0.5 / means[:, 0].abs()
    return float(errors.nan_to_num(math.inf).median())


def _adapting_batchnorm(model: GraphModule) -> GraphModule:
    probe = copy.deepcopy(model).eval()
    for module in probe.modules():
        if isinstance(module, _BatchNorm):
            module.train()
            module.momentum = 0.0
    return probe
