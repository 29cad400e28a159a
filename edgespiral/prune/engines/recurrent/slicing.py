"""Cuts by slicing the parameters of every layer that a group names, recurrent ones included."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from torch import nn

from edgespiral.core.errors import ModelError
from edgespiral.prune.unstack import RECURRENT, directions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from torch import Tensor
    from torch.fx import GraphModule

    from edgespiral.prune.groups import ChannelGroup, Slot

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class SlicingCutter:
    """Removes channels of the groups that `find_recurrent_groups` returns."""

    name = "slicing"

    def cut(
        self,
        model: GraphModule,
        example: Tensor,  # noqa: ARG002 (other engines trace with it)
        groups: Sequence[ChannelGroup],
        kept: Mapping[str, Sequence[int]],
    ) -> GraphModule:
        """See `Cutter.cut`."""
        smaller = copy.deepcopy(model)
        if any(not kept[group.name] for group in groups):
            raise ModelError("cannot remove every channel", where=_emptied(groups, kept))
        outputs = _positions((group, kept, group.producers) for group in groups)
        inputs = _positions((group, kept, group.consumers) for group in groups)
        for name in {**outputs, **inputs}:
            _slice(smaller, name, outputs.get(name), inputs.get(name))
        return smaller


def outputs_of(layer: nn.Module) -> int | None:
    """Channels that a weighted layer produces; None where it has no weight of its own."""
    if isinstance(layer, RECURRENT):
        return layer.hidden_size * directions(layer)
    if isinstance(layer, nn.Embedding):
        return layer.embedding_dim
    weight = getattr(layer, "weight", None)
    return len(weight) if isinstance(weight, torch.Tensor) else None


def _emptied(groups: Sequence[ChannelGroup], kept: Mapping[str, Sequence[int]]) -> str:
    return ", ".join(group.name for group in groups if not kept[group.name])


def _positions(
    sides: Iterator[tuple[ChannelGroup, Mapping[str, Sequence[int]], tuple[Slot, ...]]],
) -> dict[str, Tensor]:
    """Per layer the positions that stay, over all groups that govern one of its sides."""
    stay: dict[str, Tensor] = {}
    for group, kept, slots in sides:
        keep = torch.tensor(list(kept[group.name]))
        for slot in slots:
            mine = (slot.channel_of < 0) | torch.isin(slot.channel_of, keep)
            stay[slot.layer] = stay.get(slot.layer, torch.ones_like(mine)) & mine
    return {name: mask.nonzero().flatten() for name, mask in stay.items()}


def _slice(model: nn.Module, name: str, outputs: Tensor | None, inputs: Tensor | None) -> None:
    layer = model.get_submodule(name)
    if isinstance(layer, RECURRENT):
        _slice_recurrent(layer, outputs, inputs)
    elif isinstance(layer, nn.Embedding):
        _set(layer, "weight", outputs, axis=1)
        layer.embedding_dim = layer.weight.shape[1]
    elif isinstance(layer, NORMS):
        for tensor in ("weight", "bias", "running_mean", "running_var"):
            _set(layer, tensor, outputs)
        layer.num_features = layer.num_features if outputs is None else len(outputs)
    elif isinstance(layer, (nn.Linear, *CONVOLUTIONS)):
        _slice_weighted(layer, outputs, inputs)
    else:
        raise ModelError(f"cannot slice a {type(layer).__name__}", where=name)


def _slice_weighted(layer: nn.Module, outputs: Tensor | None, inputs: Tensor | None) -> None:
    _set(layer, "weight", outputs)
    _set(layer, "bias", outputs)
    _set(layer, "weight", inputs, axis=1)
    if isinstance(layer, nn.Linear):
        layer.out_features, layer.in_features = layer.weight.shape
        return
    assert isinstance(layer, CONVOLUTIONS)
    layer.out_channels = len(layer.weight)
    if layer.groups > 1:
        layer.groups = layer.out_channels
    layer.in_channels = layer.weight.shape[1] * layer.groups


def _slice_recurrent(
    layer: nn.LSTM | nn.GRU, outputs: Tensor | None, inputs: Tensor | None
) -> None:
    hidden = layer.hidden_size
    everything = torch.arange(hidden * directions(layer))
    units = everything if outputs is None else outputs
    for run, suffix in enumerate(("", "_reverse")[: directions(layer)]):
        mine = units[(units >= run * hidden) & (units < (run + 1) * hidden)] - run * hidden
        gates = len(getattr(layer, f"weight_hh_l0{suffix}")) // hidden
        rows = torch.cat([mine + gate * hidden for gate in range(gates)])
        for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            _set(layer, f"{kind}_l0{suffix}", rows)
        _set(layer, f"weight_hh_l0{suffix}", mine, axis=1)
        _set(layer, f"weight_ih_l0{suffix}", inputs, axis=1)
    layer.hidden_size = len(units) // directions(layer)
    layer.input_size = layer.input_size if inputs is None else len(inputs)


def _set(layer: nn.Module, name: str, positions: Tensor | None, axis: int = 0) -> None:
    tensor = getattr(layer, name, None)
    if tensor is None or positions is None:
        return
    sliced = tensor.detach().index_select(axis, positions.to(tensor.device)).contiguous()
    if isinstance(tensor, nn.Parameter):
        sliced = nn.Parameter(sliced, requires_grad=tensor.requires_grad)
    setattr(layer, name, sliced)
