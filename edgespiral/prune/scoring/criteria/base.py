"""What a criterion is, and what those share that read gradients or weights.

Every criterion gives one non-negative score a channel, summed over the layers that the channel is
coupled through. Those that read gradients are in units of the loss and so compare across groups;
norms of weights do not, and are scaled to a mean of 1 a group.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from edgespiral.core.errors import DataError, ModelError
from edgespiral.core.nested import count
from edgespiral.models.calling import call
from edgespiral.prune.masking import gated
from edgespiral.prune.scoring.norms import unit_norms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from torch import Tensor
    from torch.fx import GraphModule

    from edgespiral.core.nested import Tensors
    from edgespiral.prune.groups import ChannelGroup

    Importance = dict[str, Tensor]
    Batches = Iterable[tuple[Tensor, Tensor]]
    SampleLosses = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Evidence:
    """What a criterion may look at besides the weights.

    Attributes:
        batches: of inputs and targets.
        seed: of what is drawn at random.
        losses: of outputs (N, ...) and targets (N, ...), one a sample (N,).
    """

    batches: Batches
    seed: int = 0
    losses: SampleLosses = field(kw_only=True)


class Criterion:
    """What a channel is worth; a plug-in of the group `edgespiral.criteria` is an instance.

    Attributes:
        trains_scales: the model is trained for sparse batch-norm scales before it is scored.
        is_control: its scores stay as they are, whatever folding could mend.
        is_mean: its scores are a mean over the samples of its evidence, so that several processes
            may score a share of these each.

    Example:
        >>> class Constant(Criterion):
        ...     def score(self, model, groups, evidence):
        ...         return {group.name: torch.ones(group.channels) for group in groups}
    """

    trains_scales = False
    is_control = False
    is_mean = False

    def score(
        self, model: GraphModule, groups: Sequence[ChannelGroup], evidence: Evidence
    ) -> Importance:
        """Per group a (channels,) tensor of non-negative scores; higher matters more.

        Raises:
            DataError: it needs labelled samples and there are none.
            ModelError: the model has nothing that it could go by.
        """
        raise NotImplementedError

    def check(self, model: GraphModule, groups: Sequence[ChannelGroup]) -> None:
        """Refuse a model of which a group has nothing to go by, before time is spent.

        Raises:
            ModelError: the group is named.
        """


class GateGradients(Criterion):
    """By the gradient of each sample's loss at the channel's gate, which is shared by its layers.

    Args:
        accumulate: makes (channels,) of gradients (samples, channels).
    """

    is_mean = True

    def __init__(self, accumulate: Callable[[Tensor], Tensor]) -> None:
        self._accumulate = accumulate

    def score(
        self, model: GraphModule, groups: Sequence[ChannelGroup], evidence: Evidence
    ) -> Importance:
        """Per group the accumulated gradients, a mean over samples."""
        frozen = copy.deepcopy(model).eval().requires_grad_(requires_grad=False)
        totals = {group.name: torch.zeros(group.channels) for group in groups}
        samples = 0
        for inputs, targets in evidence.batches:
            gradients = _gate_gradients(frozen, groups, inputs, targets, evidence.losses)
            for group, gradient in zip(groups, gradients, strict=True):
                totals[group.name] += self._accumulate(gradient.float()).cpu()
            samples += count(inputs)
        if not samples:
            raise DataError("a criterion that uses gradients needs labelled samples, and got none")
        scores = {name: total / samples for name, total in totals.items()}
        if not all(score.isfinite().all() for score in scores.values()):
            raise ModelError("the gradients of the loss are not finite", hint="check the weights")
        return scores


def _gate_gradients(
    model: GraphModule,
    groups: Sequence[ChannelGroup],
    inputs: Tensors,
    targets: Tensors,
    losses: SampleLosses,
) -> tuple[Tensor, ...]:
    gates = {
        group.name: torch.ones(count(inputs), group.channels, requires_grad=True)
        for group in groups
    }
    with gated(model, groups, gates):
        loss = losses(call(model, inputs), targets).sum()
    return torch.autograd.grad(loss, list(gates.values()))


class WeightNorm(Criterion):
    """By a norm of the weights, as one of NNI's pruners computes it.

    Args:
        pruner: its class in `nni.compression.pruning`.
    """

    def __init__(self, pruner: str) -> None:
        self._pruner = pruner

    def score(
        self,
        model: GraphModule,
        groups: Sequence[ChannelGroup],
        evidence: Evidence,  # noqa: ARG002
    ) -> Importance:
        """Per group the sum over its layers, with a mean of 1."""
        from edgespiral.prune.scoring.nni_scores import layer_metrics

        metrics = layer_metrics(self._pruner, model, groups)
        metrics |= unit_norms(self._pruner, model, groups)
        scores = {}
        for group in groups:
            total = torch.zeros(group.channels)
            for slot in group.producers:
                if slot.layer in metrics:
                    governed = slot.channel_of >= 0
                    total.index_add_(0, slot.channel_of[governed], metrics[slot.layer][governed])
            scores[group.name] = per_mean(total)
        return scores


def per_mean(scores: Tensor) -> Tensor:
    """Scores (channels,) with a mean of 1, so that groups of different weights compare."""
    return scores / scores.mean().clamp_min(torch.finfo(scores.dtype).tiny)
