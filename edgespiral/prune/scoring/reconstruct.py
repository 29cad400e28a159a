"""Folding what removed channels told their consumers into the weights of the kept ones.

A removed channel is in part predictable from those that stay. The least-squares prediction is
linear, and so is the consumer: its weights for the kept channels take it over before the cut. For
a 1x1 convolution and a linear layer these are the weights that reproduce its outputs best (He et
al. 2017, "Channel pruning for accelerating very deep neural networks", section 3.1, step ii).
"""

from __future__ import annotations

import copy
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvTransposeNd

from edgespiral.models.calling import call
from edgespiral.prune.groups import PRUNABLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from torch import Tensor
    from torch.fx import GraphModule

    from edgespiral.core.nested import Tensors
    from edgespiral.prune.groups import ChannelGroup, Slot

    # A layer's weight and bias.
    Weights = tuple[Tensor, Tensor | None]

# Through other layers, such as layer norm, the kept channels change with the cut.
FOLLOWED = (*PRUNABLE, _BatchNorm)
# Of the mean variance, added to each channel's: what few samples show is not to be relied on.
RIDGE = 0.01
ROUNDING, LEAST_FLOOR = 1e-9, 1e-30
# A covariance has the square of this, and needs more samples than it has rows.
MOST_INPUTS = 1024
MOST_ROWS = 2**14


@dataclass(frozen=True)
class Moments:
    """Mean (C,) and covariance (C, C) of a layer's C input channels, over samples and positions."""

    mean: Tensor
    covariance: Tensor


@torch.no_grad()
def moments(
    model: GraphModule, groups: Sequence[ChannelGroup], inputs: Iterable[Tensors]
) -> dict[str, Moments]:
    """Moments of the inputs of each layer that removed channels can be folded into, by its name.

    Args:
        model: the traced model, run in eval mode.
        groups: its groups.
        inputs: batches (N, C, H, W) of training data, on the model's device.
    """
    model = copy.deepcopy(model).eval()
    sums: dict[str, _Sums] = {}
    for layer in {slot.layer for group in groups for slot in foldable(model, group)}:
        sums[layer] = _Sums()
        model.get_submodule(layer).register_forward_pre_hook(sums[layer].add)
    for batch in inputs:
        call(model, batch)
    return {layer: summed.moments() for layer, summed in sums.items() if summed.rows}


@torch.no_grad()
def folded(
    model: GraphModule,
    groups: Sequence[ChannelGroup],
    kept_channels: Mapping[str, Sequence[int]],
    layer_moments: Mapping[str, Moments],
) -> GraphModule:
    """A copy of `model` whose consumers expect of `kept_channels` what all channels gave.

    Consumers without moments, and those of groups that go whole, are left as they are.
    """
    smaller = copy.deepcopy(model)
    for name, (weight, bias) in folded_weights(model, groups, kept_channels, layer_moments).items():
        layer: Any = smaller.get_submodule(name)
        layer.weight.copy_(weight)
        if bias is not None:
            layer.bias.copy_(bias)
    return smaller


@torch.no_grad()
def folded_weights(
    model: GraphModule,
    groups: Sequence[ChannelGroup],
    kept_channels: Mapping[str, Sequence[int]],
    layer_moments: Mapping[str, Moments],
) -> dict[str, Weights]:
    """What `folded` changes: the weights of the consumers that expect something else, by name."""
    weights: dict[str, Weights] = {}
    for group in groups:
        stay = kept_channels[group.name]
        if not stay or len(stay) == group.channels:
            continue
        for slot in foldable(model, group):
            if slot.layer in layer_moments:
                layer: Any = model.get_submodule(slot.layer)
                stays = torch.isin(slot.channel_of, torch.tensor(list(stay)))
                goes = (slot.channel_of >= 0) & ~stays
                own = weights.get(slot.layer, (layer.weight, layer.bias))
                weights[slot.layer] = _folded(own, layer_moments[slot.layer], stays, goes)
    return weights


@contextmanager
def with_weights(model: GraphModule, weights: Mapping[str, Weights]) -> Iterator[None]:
    """Layers have these weights while the context lasts, of which no gradient is taken."""
    layers: dict[Any, Weights] = {}
    try:
        for name, (weight, bias) in weights.items():
            layer: Any = model.get_submodule(name)
            layers[layer] = (layer.weight, layer.bias)
            # New parameters: autocast keeps what it has made of the old ones.
            layer.weight = nn.Parameter(weight, requires_grad=False)
            layer.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)
        yield
    finally:
        for layer, (weight, bias) in layers.items():
            layer.weight, layer.bias = weight, bias


def foldable(model: GraphModule, group: ChannelGroup) -> list[Slot]:
    """The consumers of `group` that its removed channels can be folded into."""
    if not all(isinstance(model.get_submodule(s.layer), FOLLOWED) for s in group.producers):
        return []
    return [
        slot
        for slot in group.consumers
        if _is_dense(model.get_submodule(slot.layer)) and len(slot.channel_of) <= MOST_INPUTS
    ]


def regularised(moments: Moments, channels: Tensor) -> Tensor:
    """The covariance (K, K) of some channels, with the ridge that makes it safe to invert."""
    covariance = moments.covariance[channels][:, channels]
    variances, means = covariance.diagonal().clamp_min(0.0), moments.mean[channels]
    # Of a constant other than zero nothing is left but rounding errors of either sign.
    noise = ROUNDING * (variances + means.square()).mean()
    floor = (RIDGE * variances.mean() + noise).clamp_min(LEAST_FLOOR)
    return covariance + floor * torch.eye(len(covariance), dtype=covariance.dtype)


def _is_dense(layer: nn.Module) -> bool:
    transposed = isinstance(layer, _ConvTransposeNd)
    return isinstance(layer, PRUNABLE) and getattr(layer, "groups", 1) == 1 and not transposed


def _folded(weights: Weights, moments: Moments, stays: Tensor, goes: Tensor) -> Weights:
    weight, bias = weights
    if not bool(goes.any()):
        return weights
    within = regularised(moments, stays.nonzero().flatten())
    # (going, staying): a removed channel is about its mean plus these times the others' deviations.
    shares = torch.linalg.solve(within, moments.covariance[stays][:, goes]).T
    removed = weight[:, goes]
    weight = weight.detach().clone()
    weight[:, stays] += torch.einsum("or...,rk->ok...", removed, shares.to(weight))
    if bias is not None:
        rest = (moments.mean[goes] - shares @ moments.mean[stays]).to(weight)
        bias = bias + torch.einsum("or...,r->o", removed, rest)
    return weight, bias


class _Sums:
    """A forward hook that adds up what moments are made of, around the first batch's mean.

    So sums are of deviations, for which single precision does, and those of constants are zero.
    """

    def __init__(self) -> None:
        self.rows = 0
        self._around: Tensor | None = None
        self._first: Tensor | float = 0.0
        self._second: Tensor | float = 0.0

    def add(self, layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """Take one batch's inputs into account; of very many positions, evenly spaced ones."""
        values = inputs[0].detach()
        if not isinstance(layer, nn.Linear):
            values = values.movedim(1, -1)
        rows = values.reshape(-1, values.shape[-1])
        rows = rows[:: -(-len(rows) // MOST_ROWS)]
        rows = rows if rows.dtype == torch.double else rows.float()
        if self._around is None:
            self._around = rows.mean(0)
        rows = rows - self._around
        with torch.autocast(rows.device.type, enabled=False):
            products = rows.T @ rows
        self.rows += len(rows)
        self._first = self._first + rows.sum(0, dtype=torch.double).cpu()
        self._second = self._second + products.double().cpu()

    def moments(self) -> Moments:
        """Of all that was seen."""
        assert self._around is not None
        beside = torch.as_tensor(self._first) / self.rows
        mean = self._around.double().cpu() + beside
        return Moments(
            mean, torch.as_tensor(self._second) / self.rows - torch.outer(beside, beside)
        )
