"""Slices of the parameters of one layer, and the sizes that it states."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.modules.instancenorm import _InstanceNorm

from edgespiral.core.errors import ModelError
from edgespiral.prune.unstack import RECURRENT, directions, gates

CHANNELWISE = ("weight", "bias", "running_mean", "running_var")


def narrow(layer: nn.Module, outputs: Tensor, inputs: Tensor | None) -> None:
    """Leave a layer the given output and input channels, in place.

    Args:
        layer: of a kind that `flow.layers` has a rule for.
        outputs: positions of the output channels that stay, sorted.
        inputs: those of the input channels; None for layers that do not mix them.

    Raises:
        ModelError: the parameters would not be a slice.
    """
    if isinstance(layer, RECURRENT):
        _narrow_recurrent(layer, outputs, inputs)
    elif isinstance(layer, _ConvNd):
        _narrow_convolution(layer, outputs, inputs)
    elif isinstance(layer, nn.Linear):
        keep(layer, "weight", 0, outputs)
        keep(layer, "weight", 1, inputs)
        keep(layer, "bias", 0, outputs)
        layer.out_features, layer.in_features = layer.weight.shape
    elif isinstance(layer, nn.Embedding):
        keep(layer, "weight", 1, outputs)
        layer.embedding_dim = len(outputs)
    else:
        _narrow_channelwise(layer, outputs)


def keep(owner: nn.Module, name: str, dim: int, positions: Tensor | None) -> None:
    """Slice a parameter or a buffer, if there is one and it loses something."""
    old = getattr(owner, name, None)
    if old is None or positions is None or old.shape[dim] == len(positions):
        return
    new = old.detach().index_select(dim, positions.to(old.device)).contiguous()
    if isinstance(old, nn.Parameter):
        setattr(owner, name, nn.Parameter(new, requires_grad=old.requires_grad))
    else:
        setattr(owner, name, new)


def _narrow_convolution(layer: _ConvNd, outputs: Tensor, inputs: Tensor | None) -> None:
    own, others = (1, 0) if isinstance(layer, _ConvTransposeNd) else (0, 1)
    if inputs is None:
        _narrow_groups(layer, outputs, transposed=own == 1)
        return
    # Runs of a grouped convolution lose the same places, so the first run's stand for all.
    within = {own: _first_run(outputs, layer.out_channels // layer.groups) if own else outputs}
    within[others] = inputs if own else _first_run(inputs, layer.in_channels // layer.groups)
    for dim, positions in within.items():
        keep(layer, "weight", dim, positions)
    keep(layer, "bias", 0, outputs)
    layer.in_channels, layer.out_channels = len(inputs), len(outputs)


def _first_run(positions: Tensor, length: int) -> Tensor:
    return positions[positions < length]


def _narrow_groups(layer: _ConvNd, outputs: Tensor, *, transposed: bool) -> None:
    each, read = layer.out_channels // layer.groups, layer.in_channels // layer.groups
    groups = torch.unique(outputs // each)
    if len(groups) * each != len(outputs):
        raise ModelError("a group of it would lose a part")
    inputs = (groups[:, None] * read + torch.arange(read)).flatten()
    keep(layer, "weight", 0, inputs if transposed else outputs)
    keep(layer, "bias", 0, outputs)
    layer.groups = len(groups)
    layer.in_channels, layer.out_channels = len(inputs), len(outputs)


def _narrow_channelwise(layer: nn.Module, channels: Tensor) -> None:
    stated: Any = layer
    for name in CHANNELWISE:
        keep(layer, name, 0, channels)
    if isinstance(layer, _BatchNorm | _InstanceNorm):
        stated.num_features = len(channels)
    elif isinstance(layer, nn.GroupNorm):
        stated.num_channels = len(channels)
    elif isinstance(layer, nn.PReLU):
        stated.num_parameters = len(channels)
    elif not isinstance(layer, nn.Identity):  # which states no sizes
        stated.normalized_shape = (len(channels),)


def _narrow_recurrent(layer: nn.RNNBase, outputs: Tensor, inputs: Tensor | None) -> None:
    hidden, count = layer.hidden_size, gates(layer)
    for run, suffix in enumerate(("", "_reverse")[: directions(layer)]):
        mine = outputs[(outputs >= run * hidden) & (outputs < (run + 1) * hidden)] - run * hidden
        if len(mine) * directions(layer) != len(outputs):
            raise ModelError("its directions would lose unequal numbers of units")
        rows = torch.cat([mine + gate * hidden for gate in range(count)])
        for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            keep(layer, f"{kind}_l0{suffix}", 0, rows)
        keep(layer, f"weight_hh_l0{suffix}", 1, mine)
        keep(layer, f"weight_ih_l0{suffix}", 1, inputs)
    layer.hidden_size = len(outputs) // directions(layer)
    layer.input_size = layer.input_size if inputs is None else len(inputs)
