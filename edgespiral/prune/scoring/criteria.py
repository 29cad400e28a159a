"""Importance of channels: what removing one would cost.

Every criterion gives one non-negative score a channel, summed over the layers that the channel is
coupled through. `fisher` and `taylor` are in units of the loss and so compare across groups; norms
of weights do not, and are scaled to a mean of 1 a group.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from edgespiral.core.errors import DataError, ModelError
from edgespiral.core.registry import Registry
from edgespiral.prune.masking import gated
from edgespiral.prune.scoring.norms import unit_norms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from torch import Tensor
    from torch.fx import GraphModule

    from edgespiral.prune.groups import ChannelGroup

    Importance = dict[str, Tensor]
    Batches = Iterable[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Evidence:
    """What a criterion may look at besides the weights."""

    batches: Batches
    seed: int = 0


class Criterion(Protocol):
    """Scores the channels of every group."""

    def __call__(
        self, model: GraphModule, groups: Sequence[ChannelGroup], evidence: Evidence
    ) -> Importance:
        """Per group a (channels,) tensor of non-negative scores; higher matters more."""
        ...


CRITERIA: Registry[Criterion] = Registry("criterion")


@CRITERIA.register("random")
def random_scores(
    model: GraphModule,  # noqa: ARG001
    groups: Sequence[ChannelGroup],
    evidence: Evidence,
) -> Importance:
    """Uniform scores from the seed: the control that every other criterion must beat."""
    generator = torch.Generator().manual_seed(evidence.seed)
    return {group.name: torch.rand(group.channels, generator=generator) for group in groups}


@CRITERIA.register("fisher")
def fisher_scores(
    model: GraphModule, groups: Sequence[ChannelGroup], evidence: Evidence
) -> Importance:
    """Half the mean squared gradient of a sample's loss at the channel's shared gate.

    To second order this is the rise of the loss when the gate closes (Theis et al. 2018, "Faster
    gaze prediction with dense networks and Fisher pruning", eq. 7). The gradient is summed over
    the coupled layers before it is squared (Liu et al. 2021, "Group Fisher Pruning", section 3.2).
    """
    return _gate_scores(model, groups, evidence, lambda gradient: gradient.square().sum(0) / 2)


@CRITERIA.register("taylor")
def taylor_scores(
    model: GraphModule, groups: Sequence[ChannelGroup], evidence: Evidence
) -> Importance:
    """The mean absolute gradient of a sample's loss at the channel's shared gate.

    First-order Taylor expansion of the loss in the gate (Molchanov et al. 2019, "Importance
    Estimation for Neural Network Pruning", section 3.1, with gates in place of weights).
    """
    return _gate_scores(model, groups, evidence, lambda gradient: gradient.abs().sum(0))


def _gate_scores(
    model: GraphModule,
    groups: Sequence[ChannelGroup],
    evidence: Evidence,
    accumulate: Callable[[Tensor], Tensor],
) -> Importance:
    frozen = copy.deepcopy(model).eval().requires_grad_(requires_grad=False)
    totals = {group.name: torch.zeros(group.channels) for group in groups}
    samples = 0
    for inputs, labels in evidence.batches:
        gradients = _gate_gradients(frozen, groups, inputs, labels)
        for group, gradient in zip(groups, gradients, strict=True):
            totals[group.name] += accumulate(gradient.float()).cpu()
        samples += len(labels)
    if not samples:
        raise DataError("a criterion that uses gradients needs labelled samples, and got none")
    scores = {name: total / samples for name, total in totals.items()}
    if not all(score.isfinite().all() for score in scores.values()):
        raise ModelError("the gradients of the loss are not finite", hint="check the weights")
    return scores


def _gate_gradients(
    model: GraphModule, groups: Sequence[ChannelGroup], inputs: Tensor, labels: Tensor
) -> tuple[Tensor, ...]:
    gates = {
        group.name: torch.ones(len(inputs), group.channels, requires_grad=True) for group in groups
    }
    with gated(model, groups, gates):
        loss = F.cross_entropy(model(inputs), labels, reduction="sum")
    return torch.autograd.grad(loss, list(gates.values()))


def _norm_scores(pruner: str, model: GraphModule, groups: Sequence[ChannelGroup]) -> Importance:
    from edgespiral.prune.scoring.nni_scores import layer_metrics

    metrics = layer_metrics(pruner, model, groups) | unit_norms(pruner, model, groups)
    scores = {}
    for group in groups:
        total = torch.zeros(group.channels)
        for slot in group.producers:
            if slot.layer in metrics:
                governed = slot.channel_of >= 0
                total.index_add_(0, slot.channel_of[governed], metrics[slot.layer][governed])
        scores[group.name] = _per_mean(total)
    return scores


def _register_norm(name: str, pruner: str, source: str) -> None:
    def criterion(
        model: GraphModule,
        groups: Sequence[ChannelGroup],
        evidence: Evidence,  # noqa: ARG001
    ) -> Importance:
        return _norm_scores(pruner, model, groups)

    criterion.__doc__ = f"NNI's {pruner}: {source}"
    CRITERIA.register(name)(criterion)


@CRITERIA.register("l1-reg")
def scale_scores(
    model: GraphModule,
    groups: Sequence[ChannelGroup],
    evidence: Evidence,  # noqa: ARG001
) -> Importance:
    """Absolute scaling factor of the channel's batch norms, of a model trained to have few large.

    Network slimming (Liu et al. 2017, section 3); the training is `spiral.parents`'s.
    """
    return {group.name: _per_mean(_scales(model, group)) for group in groups}


def _scales(model: GraphModule, group: ChannelGroup) -> Tensor:
    total = torch.zeros(group.channels)
    found = False
    for slot in group.producers:
        layer = model.get_submodule(slot.layer)
        if isinstance(layer, _BatchNorm) and layer.weight is not None:
            governed = slot.channel_of >= 0
            scale = layer.weight.detach().abs().cpu()
            total.index_add_(0, slot.channel_of[governed], scale[governed])
            found = True
    if not found:
        raise ModelError(
            "l1-reg reads scaling factors of batch norm, and no batch norm follows this layer",
            where=group.name,
            hint="use another --criterion, such as fisher",
        )
    return total


def _per_mean(scores: Tensor) -> Tensor:
    return scores / scores.mean().clamp_min(torch.finfo(scores.dtype).tiny)


def check_criterion(name: str, model: GraphModule, groups: Sequence[ChannelGroup]) -> None:
    """Refuse a criterion that has nothing to go by in a group of `model`.

    Raises:
        UsageError: no such criterion.
        ModelError: `l1-reg`, and a group without batch norm.
    """
    if CRITERIA.get(name) is scale_scores:
        scale_scores(model, groups, Evidence(()))


_register_norm("l1", "L1NormPruner", "sum of absolute weights (Li et al. 2017)")
_register_norm("l2", "L2NormPruner", "Euclidean norm of the weights")
_register_norm("fpgm", "FPGMPruner", "distance to the geometric median (He et al. 2019)")


def score(
    name: str, model: GraphModule, groups: Sequence[ChannelGroup], evidence: Evidence
) -> Importance:
    """Scores of the criterion called `name`.

    Raises:
        UsageError: no such criterion.
        DataError: it needs labelled samples and there are none.
    """
    criterion: Any = CRITERIA.get(name)
    scores: Importance = criterion(model, groups, evidence)
    return scores
