"""What share of a model its groups govern."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from edgespiral.models.work import parameter_count
from edgespiral.prune.groups import PRUNABLE, outputs_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from edgespiral.prune.groups import ChannelGroup, Slot

WEIGHTED = (*PRUNABLE, nn.Embedding, nn.RNNBase, nn.MultiheadAttention)


@dataclass(frozen=True)
class Share:
    """Output channels of weighted layers and parameters: all, and those that a cut can take."""

    channels: int
    cuttable_channels: int
    parameters: int
    cuttable_parameters: int


@dataclass(frozen=True)
class LayerShare:
    """Output channels of one weighted layer: all, and those that a cut can take."""

    name: str
    channels: int
    cuttable_channels: int


def layer_shares(model: nn.Module, groups: Sequence[ChannelGroup]) -> list[LayerShare]:
    """Each layer with channels, in the order of the model's modules.

    Args:
        model: the traced model.
        groups: its groups.
    """
    governed = _governed(slot for group in groups for slot in group.producers)
    outputs = ((name, output_channels(layer)) for name, layer in model.named_modules())
    return [
        LayerShare(name, channels, int(channels * governed.get(name, 0.0)))
        for name, channels in outputs
        if channels is not None
    ]


def cuttable_share(model: nn.Module, groups: Sequence[ChannelGroup]) -> Share:
    """Channels that are in a group, and parameters that belong to such a channel.

    Args:
        model: the traced model.
        groups: its groups.
    """
    shares_written = _governed(slot for group in groups for slot in group.producers)
    shares_read = _governed(slot for group in groups for slot in group.consumers)
    layers = layer_shares(model, groups)
    channels = sum(layer.channels for layer in layers)
    cuttable = sum(layer.cuttable_channels for layer in layers)
    reached = 0.0
    for name, layer in model.named_modules():
        own = sum(p.numel() for p in layer.parameters(recurse=False))
        reached += own * (
            1 - (1 - shares_written.get(name, 0.0)) * (1 - shares_read.get(name, 0.0))
        )
    total = parameter_count(model)
    return Share(channels, cuttable, total, min(round(reached), total))


def _governed(slots: Iterable[Slot]) -> dict[str, float]:
    """Per layer the share of one side's positions that are in a group."""
    places: dict[str, torch.Tensor] = {}
    for slot in slots:
        here = slot.channel_of >= 0
        places[slot.layer] = places.get(slot.layer, torch.zeros_like(here)) | here
    return {name: float(here.float().mean()) for name, here in places.items()}


def output_channels(layer: nn.Module) -> int | None:
    """Channels that a weighted layer writes, of all its directions; None for any other layer."""
    if isinstance(layer, nn.MultiheadAttention):
        return int(layer.embed_dim)
    if isinstance(layer, nn.RNNBase):
        return int(layer.hidden_size * layer.num_layers * (2 if layer.bidirectional else 1))
    return outputs_of(layer) if isinstance(layer, WEIGHTED) else None
