"""Gates on the inputs of a group's consumers: one multiplier a channel, shared by all coupled
layers.

A gate of zero is what removal means: no consumer sees the channel. So the same hooks define the
masked model that a cut must equal and the gradients that importance is made of. Layer normalisation
reads channels too: its mean and variance are those of the channels whose gates are open.
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
        for layer, parts in _parts_by_layer(groups, gates, "consumers").items()
    ]
    handles += [
        layer.register_forward_hook(_normaliser(parts))
        for name, parts in _parts_by_layer(groups, gates, "producers").items()
        if isinstance(layer := model.get_submodule(name), nn.LayerNorm)
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
    groups: Sequence[ChannelGroup], gates: Mapping[str, Tensor], side: str
) -> dict[str, list[tuple[Tensor, Tensor]]]:
    parts: dict[str, list[tuple[Tensor, Tensor]]] = {}
    for group in groups:
        for slot in getattr(group, side):
            parts.setdefault(slot.layer, []).append((slot.channel_of, gates[group.name]))
    return parts


def _multiplier(parts: list[tuple[Tensor, Tensor]]) -> Callable[[nn.Module, Any], Any]:
    gates_for = _gates_for(parts)

    def multiply(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        first, *rest = inputs
        return (first * gates_for(first, last=isinstance(module, nn.Linear)), *rest)

    return multiply


def _normaliser(parts: list[tuple[Tensor, Tensor]]) -> Callable[[nn.LayerNorm, Any, Tensor], Any]:
    gates_for = _gates_for(parts)

    def normalise(module: nn.LayerNorm, inputs: tuple[Tensor, ...], _output: Tensor) -> Tensor:
        gates = gates_for(inputs[0], last=True)
        share = gates.mean(-1, keepdim=True)
        centred = inputs[0] - (inputs[0] * gates).mean(-1, keepdim=True) / share
        variance = (centred.square() * gates).mean(-1, keepdim=True) / share
        output = centred / (variance + module.eps).sqrt()
        output = output if module.weight is None else output * module.weight
        return output if module.bias is None else output + module.bias

    return normalise


def _gates_for(parts: list[tuple[Tensor, Tensor]]) -> Callable[..., Tensor]:
    ones = torch.ones(parts[0][1].shape[0], 1)
    index = torch.zeros_like(parts[0][0])
    offset = 1
    for channel_of, gate in parts:
        index = torch.where(channel_of >= 0, channel_of + offset, index)
        offset += gate.shape[1]
    columns = [gate for _, gate in parts]

    def gates_for(inputs: Tensor, *, last: bool) -> Tensor:
        gates = torch.cat([ones.to(columns[0]), *columns], dim=1)[:, index.to(columns[0].device)]
        if len(gates) > 1:
            # A sample's windows follow each other in the batch and share its gates.
            gates = gates.repeat_interleave(len(inputs) // len(gates), dim=0)
        singles = [1] * (inputs.dim() - 2)
        view = (-1, *singles, len(index)) if last else (-1, len(index), *singles)
        return gates.view(view).to(inputs.dtype)

    return gates_for
