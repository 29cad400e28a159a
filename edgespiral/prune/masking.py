"""Gates on the inputs of a group's consumers: one multiplier a channel, shared by all coupled
layers.

A gate of zero is what removal means: no consumer sees the channel. So the same hooks define the
masked model that a cut must equal and the gradients that importance is made of. Layer normalisation
reads channels too: its mean and variance are those of the channels whose gates are open. Where
channels are compared with each other, closed ones have no part (`prune.absent`).
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from edgespiral.core.errors import ModelError
from edgespiral.prune.absent import Absent, mark_of
from edgespiral.prune.recurrence import gated_recurrence
from edgespiral.prune.unstack import RECURRENT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from torch import Tensor

    from edgespiral.prune.groups import ChannelGroup

# What reads channels without being a group's consumer: its statistics are over all of them.
NORMS = (nn.LayerNorm, nn.RMSNorm, nn.GroupNorm)


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
        model.get_submodule(layer).register_forward_pre_hook(_multiplier(parts, batch_axis))
        for (layer, batch_axis), parts in _parts_by_layer(groups, gates, "consumers").items()
    ]
    handles += [
        layer.register_forward_hook(_normaliser(parts, batch_axis))
        for (name, batch_axis), parts in _parts_by_layer(groups, gates, "producers").items()
        if isinstance(layer := model.get_submodule(name), NORMS)
    ]
    handles += [
        layer.register_forward_hook(_absentee(parts, batch_axis, absent))
        for (name, batch_axis), parts in _parts_by_layer(groups, gates, "producers").items()
        if (absent := mark_of(layer := model.get_submodule(name))) is not None
    ]
    for group in groups:
        for slot in group.producers:
            layer = model.get_submodule(slot.layer)
            if isinstance(layer, RECURRENT):
                gate = gates[group.name][:, slot.channel_of]
                handles.append(layer.register_forward_hook(_recurrence(gate)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def gated_layers(model: nn.Module, groups: Sequence[ChannelGroup]) -> set[nn.Module]:
    """The layers that compute something else while some gate of `groups` is closed."""
    consumers = {slot.layer for group in groups for slot in group.consumers}
    producers = {slot.layer for group in groups for slot in group.producers}
    readers = (model.get_submodule(name) for name in producers)
    return {
        *map(model.get_submodule, consumers),
        *(m for m in readers if isinstance(m, (*NORMS, *RECURRENT)) or mark_of(m) is not None),
    }


def keep_gates(
    groups: Sequence[ChannelGroup], kept_channels: Mapping[str, Sequence[int]]
) -> dict[str, Tensor]:
    """Gates of 1 for kept channels and 0 for the others, (1, channels) a group."""
    gates = {}
    for group in groups:
        gate = torch.zeros(1, group.channels)
        gate[:, list(kept_channels[group.name])] = 1.0
        gates[group.name] = gate
    return gates


def _parts_by_layer(
    groups: Sequence[ChannelGroup], gates: Mapping[str, Tensor], side: str
) -> dict[tuple[str, int], list[tuple[Tensor, Tensor]]]:
    parts: dict[tuple[str, int], list[tuple[Tensor, Tensor]]] = {}
    for group in groups:
        for slot in getattr(group, side):
            part = (slot.channel_of, gates[group.name])
            parts.setdefault((slot.layer, slot.batch_axis), []).append(part)
    return parts


def _recurrence(gate: Tensor) -> Callable[[nn.Module, Any, Any], Any]:
    """Puts in place of a recurrent layer's outputs those with its own reads of units gated."""

    def replace(module: nn.Module, inputs: tuple[Tensor, ...], _outputs: object) -> object:
        assert isinstance(module, RECURRENT)
        return gated_recurrence(module, inputs[0], gate, *inputs[1:])

    return replace


def _multiplier(
    parts: list[tuple[Tensor, Tensor]], batch_axis: int
) -> Callable[[nn.Module, Any], Any]:
    gates_for = _gates_for(parts, batch_axis)

    def multiply(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        first, *rest = inputs
        dim = -1 if isinstance(module, (nn.Linear, *RECURRENT)) else 1
        return (first * gates_for(first, dim), *rest)

    return multiply


def _normaliser(
    parts: list[tuple[Tensor, Tensor]], batch_axis: int
) -> Callable[[nn.Module, Any, Tensor], Any]:
    gates_for = _gates_for(parts, batch_axis)

    def normalise(module: nn.Module, inputs: tuple[Tensor, ...], _output: Tensor) -> Tensor:
        if isinstance(module, nn.GroupNorm):
            return _over_groups(module, inputs[0], gates_for(inputs[0], 1))
        gates = gates_for(inputs[0], -1)
        assert isinstance(module, nn.LayerNorm | nn.RMSNorm)
        eps = module.eps if module.eps is not None else torch.finfo(inputs[0].dtype).eps
        centred = isinstance(module, nn.LayerNorm)
        output = _normalised(inputs[0], gates, (-1,), eps, centred=centred)
        return _scaled(output, module.weight, getattr(module, "bias", None))

    return normalise


def _absentee(
    parts: list[tuple[Tensor, Tensor]], batch_axis: int, absent: Absent
) -> Callable[[nn.Module, Any, Tensor], Tensor]:
    gates_for = _gates_for(parts, batch_axis)

    def leave_out(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        gates = gates_for(output, absent.dim)
        return (output * gates).masked_fill(gates == 0, absent.value)

    return leave_out


def _over_groups(module: nn.GroupNorm, inputs: Tensor, gates: Tensor) -> Tensor:
    """Group norm over the open channels of each group."""
    shape = (inputs.shape[0], module.num_groups, -1, *inputs.shape[2:])
    every = gates.expand(len(gates), inputs.shape[1], *[1] * (inputs.dim() - 2))
    parted = every.reshape(len(gates), module.num_groups, -1, *[1] * (inputs.dim() - 2))
    dims = tuple(range(2, inputs.dim() + 1))
    output = _normalised(inputs.reshape(shape), parted, dims, module.eps).reshape(inputs.shape)
    view = (-1, *[1] * (inputs.dim() - 2))
    weight, bias = (p if p is None else p.view(view) for p in (module.weight, module.bias))
    return _scaled(output, weight, bias)


def _normalised(
    inputs: Tensor, gates: Tensor, dims: tuple[int, ...], eps: float, *, centred: bool = True
) -> Tensor:
    share = gates.mean(dims, keepdim=True)
    if centred:
        inputs = inputs - (inputs * gates).mean(dims, keepdim=True) / share
    variance = (inputs.square() * gates).mean(dims, keepdim=True) / share
    return inputs / (variance + eps).sqrt()


def _scaled(inputs: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    output = inputs if weight is None else inputs * weight
    return output if bias is None else output + bias


def _gates_for(parts: list[tuple[Tensor, Tensor]], batch_axis: int) -> Callable[..., Tensor]:
    constant = torch.ones(parts[0][1].shape[0], 1)
    index = torch.zeros_like(parts[0][0])
    offset = 1
    for channel_of, gate in parts:
        index = torch.where(channel_of >= 0, channel_of + offset, index)
        offset += gate.shape[1]
    columns = [gate for _, gate in parts]

    def gates_for(inputs: Tensor, dim: int) -> Tensor:
        gates = torch.cat([constant.to(columns[0]), *columns], dim=1)[
            :, index.to(columns[0].device)
        ]
        if len(gates) > 1:
            # A sample may have several rows there, such as windows, that share its gates.
            rows = inputs.shape[batch_axis]
            if rows % len(gates):
                raise ModelError(
                    f"a layer whose channels are scored reads {rows} rows of {len(gates)} samples",
                    hint="leave out data, and no criterion asks which rows are a sample's",
                )
            gates = gates.repeat_interleave(rows // len(gates), 0)
        view = [1] * inputs.dim()
        view[batch_axis] = len(gates)
        view[dim] = len(index)
        return gates.view(view).to(inputs.dtype)

    return gates_for
