"""Norms of weights of hidden units, embeddings and transposed convolutions: NNI has none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.modules.conv import _ConvTransposeNd

from edgespiral.prune.unstack import RECURRENT, directions, gates

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor
    from torch.fx import GraphModule

    from edgespiral.prune.groups import ChannelGroup

# What each of NNI's pruners takes of the rows (channels, weights) of a layer.
NORMS: dict[str, Callable[[Tensor], Tensor]] = {
    "L1NormPruner": lambda rows: rows.abs().sum(1),
    "L2NormPruner": lambda rows: rows.norm(dim=1),
    "FPGMPruner": lambda rows: torch.cdist(rows, rows).sum(1),
}


def unit_norms(
    pruner: str, model: GraphModule, groups: Sequence[ChannelGroup]
) -> dict[str, Tensor]:
    """One metric a channel, (channels,), for every recurrent layer and embedding of the groups.

    Args:
        pruner: a key of `NORMS`.
        model: the traced model.
        groups: its groups.
    """
    names = sorted({slot.layer for group in groups for slot in group.producers})
    layers = {name: model.get_submodule(name) for name in names}
    return {
        name: NORMS[pruner](_rows(layer).detach().float())
        for name, layer in layers.items()
        if isinstance(layer, (nn.Embedding, _ConvTransposeNd, *RECURRENT))
    }


def _rows(layer: nn.Module) -> Tensor:
    """Each channel's own weights: the rows of all its gates, of inputs and of hidden units."""
    if isinstance(layer, nn.Embedding):
        return layer.weight.T
    if isinstance(layer, _ConvTransposeNd):
        weight = layer.weight
        parted = weight.view(layer.groups, -1, *weight.shape[1:]).transpose(1, 2)
        return parted.flatten(0, 1).flatten(1)
    assert isinstance(layer, RECURRENT)
    runs = []
    for suffix in ("", "_reverse")[: directions(layer)]:
        weights = [getattr(layer, f"{kind}_l0{suffix}") for kind in ("weight_ih", "weight_hh")]
        rows = torch.cat(weights, dim=1).chunk(gates(layer))
        runs.append(torch.cat(rows, dim=1))
    return torch.cat(runs)
