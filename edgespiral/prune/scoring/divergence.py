"""What removals do to the model's own outputs, measured with batch norm adapted.

Scores order the channels of one group well, but compare poorly across groups: a sum of small
effects says little about a large cut, and batch norm absorbs part of it at once. So one number a
group is measured: how far the outputs move when its less important half is masked. It gives every
criterion, norms of weights too, a common unit (nats), and prices whole branches in it as well.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from edgespiral.core.errors import DataError, ModelError
from edgespiral.prune.branches import Silencing
from edgespiral.prune.groups import widths_of
from edgespiral.prune.masking import gated, keep_gates
from edgespiral.prune.scoring.reconstruct import folded
from edgespiral.prune.scoring.select import keep_best, unit_scores
from edgespiral.tasks.classification import CLASSIFICATION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor
    from torch.fx import GraphModule

    from edgespiral.prune.branches import Branch
    from edgespiral.prune.groups import ChannelGroup
    from edgespiral.prune.scoring.reconstruct import Moments
    from edgespiral.tasks.base import Task

LEAST_SHARE_OF_NOISE = 0.1


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
    inputs: Sequence[Tensor]
    moments: Mapping[str, Moments] = field(default_factory=dict)
    task: Task = CLASSIFICATION

    def __post_init__(self) -> None:
        """Run the model once for its own outputs and once for the noise."""
        if not self.inputs:
            raise DataError("measuring the damage of a cut needs training samples, and got none")
        self._probe = _adapting_batchnorm(self.model)
        with torch.no_grad():
            own = copy.deepcopy(self.model).eval()
            self._own = [own(batch).float() for batch in self.inputs]
        self._noise = self._divergence(self._probe, self._everything(), ())

    def of_widths(self, importance: Mapping[str, Tensor], widths: Mapping[str, int]) -> float:
        """Damage of cutting groups to `widths`, the least important channels first."""
        return self.of_cut(importance, {**widths_of(self.groups), **widths})

    def of_branch(self, branch: Branch) -> float:
        """Damage of dropping `branch`."""
        return self._beyond_noise(self._divergence(self._probe, self._everything(), (branch,)))

    def of_cut(
        self,
        importance: Mapping[str, Tensor],
        widths: Mapping[str, int],
        branches: Sequence[Branch] = (),
    ) -> float:
        """Damage of cutting all groups to `widths`, with `branches` gone."""
        kept = keep_best(self.groups, importance, widths)
        probe = folded(self._probe, self.groups, kept, self.moments)
        # Inside of a branch that is gone nothing runs, and nothing is to be closed.
        inside = {group for branch in branches for group in branch.groups}
        gone = {name: whole for name, whole in self._everything().items() if name in inside}
        return self._beyond_noise(self._divergence(probe, {**kept, **gone}, branches))

    def _beyond_noise(self, divergence: float) -> float:
        return max(divergence - self._noise, LEAST_SHARE_OF_NOISE * self._noise, 1e-9)

    def _everything(self) -> dict[str, list[int]]:
        return {group.name: list(range(group.channels)) for group in self.groups}

    @torch.no_grad()
    def _divergence(
        self, probe: GraphModule, kept: Mapping[str, Sequence[int]], silent: Sequence[Branch]
    ) -> float:
        total, samples = 0.0, 0
        masked = Silencing(probe, silent)
        with gated(probe, self.groups, keep_gates(self.groups, kept)):
            for batch, own in zip(self.inputs, self._own, strict=True):
                outputs = masked.run(batch).float()
                total += float(self.task.divergence(outputs, own).sum())
                samples += len(batch)
        if not total == total:  # noqa: PLR0124 (NaN)
            raise ModelError("the model's outputs are not finite", hint="check the weights")
        return total / samples


def in_nats(damage: OutputDivergence, importance: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`importance` scaled group by group so that losing half of a group counts its damage."""
    return {
        group.name: importance[group.name] * _scale(damage, group, importance)
        for group in damage.groups
    }


def _scale(
    damage: OutputDivergence, group: ChannelGroup, importance: Mapping[str, Tensor]
) -> float:
    units = group.units // 2
    if not units:
        return 1.0
    scores = unit_scores(group, importance[group.name].double())
    lost = float(scores.sort().values[: group.units - units].sum())
    half = damage.of_widths(importance, {group.name: units * group.sub_groups})
    return half / max(lost, 1e-9 * float(scores.sum()), torch.finfo(torch.float).tiny)


def _adapting_batchnorm(model: GraphModule) -> GraphModule:
    probe = copy.deepcopy(model).eval()
    for module in probe.modules():
        if isinstance(module, _BatchNorm):
            module.train()
            module.momentum = 0.0
    return probe
