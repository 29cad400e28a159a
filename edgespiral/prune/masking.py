"""Gates on the inputs of a group's consumers: one multiplier a channel, shared by all coupled
layers.

A gate of zero is what removal means: no consumer sees the channel. So the same hooks define the
masked model that a cut must equal and the gradients that importance is made of.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from torch import Tensor

    from edgespiral.prune.groups import ChannelGroup


@contextmanager
def gated(
    model: nn.Module, groups: Sequence[ChannelGroup], gates: Mapping[str, Tensor]
) -> Iterator[None]:
    """Multiply each consumer's inputs by its groups' gates while the context lasts.

    Args:
        model: the model; its layers are named as in `groups`.
        groups: the coupled channels.
        gates: per group a (N, channels) tensor, N the batch size or 1.
    """
    handles = [
        model.get_submodule(layer).register_forward_pre_hook(_multiplier(parts))
        for layer, parts in _parts_by_layer(groups, gates).items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def keep_gates(
    groups: Sequence[ChannelGroup], kept: Mapping[str, Sequence[int]]
) -> dict[str, Tensor]:
    """Gates of 1 for kept channels and 0 for the others, (1, channels) a group."""
    gates = {}
    for group in groups:
        gate = torch.zeros(1, group.channels)
        gate[:, list(kept[group.name])] = 1.0
        gates[group.name] = gate
    return gates


def _parts_by_layer(
    groups: Sequence[ChannelGroup], gates: Mapping[str, Tensor]
) -> dict[str, list[tuple[Tensor, Tensor]]]:
    parts: dict[str, list[tuple[Tensor, Tensor]]] = {}
    for group in groups:
        for slot in group.consumers:
            parts.setdefault(slot.layer, []).append((slot.channel_of, gates[group.name]))
    return parts


def _multiplier(parts: list[tuple[Tensor, Tensor]]) -> Callable[[nn.Module, Any], Any]:
    ones = torch.ones(parts[0][1].shape[0], 1)
    index = torch.zeros_like(parts[0][0])
    offset = 1
    for channel_of, gate in parts:
        index = torch.where(channel_of >= 0, channel_of + offset, index)
        offset += gate.shape[1]
    columns = [gate for _, gate in parts]

    def multiply(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        first, *rest = inputs
        scale = torch.cat([ones.to(columns[0]), *columns], dim=1)[:, index.to(columns[0].device)]
        singles = [1] * (first.dim() - 2)
        view = (
            (-1, *singles, len(index))
            if isinstance(module, nn.Linear)
            else (-1, len(index), *singles)
        )
        return (first * scale.view(view).to(first.dtype), *rest)

    return multiply
