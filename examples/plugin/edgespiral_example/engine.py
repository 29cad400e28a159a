"""Cuts chains of convolutions and linear layers by slicing their parameters itself."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from torch import nn

from edgespiral.core.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor
    from torch.fx import GraphModule

    from edgespiral.prune.groups import ChannelGroup, Slot

SLICED = (nn.Conv2d, nn.Linear)


class InPlace:
    """For groups of one convolution or linear layer, its batch norm, and its readers.

    What is cut is compared with the masked model by EdgeSpiral, so an engine that is wrong does no
    harm; it only fails.
    """

    name = "in-place"
    # After EdgeSpiral's own: it is used where it is asked for by name.
    order = 90
    groups_of: tuple[str, ...] = ("depgraph",)

    def cannot_cut(self, model: GraphModule) -> str | None:
        """Anything but convolutions of one group, linear layers and batch norms."""
        grouped = [m for m in model.modules() if isinstance(m, nn.Conv2d) and m.groups > 1]
        return "grouped convolutions" if grouped else None

    def find_groups(
        self, model: GraphModule, example: Tensor, *, known: Sequence[ChannelGroup] | None = None
    ) -> None:
        """None: it cuts the groups that Torch-Pruning finds."""
        del model, example, known

    def cut(
        self,
        model: GraphModule,
        example: Tensor,  # noqa: ARG002
        groups: Sequence[ChannelGroup],
        kept_channels: Mapping[str, Sequence[int]],
    ) -> GraphModule:
        """A smaller copy of `model`."""
        smaller = copy.deepcopy(model)
        for group in groups:
            stay = torch.tensor(kept_channels[group.name])
            for slot in group.producers:
                _narrow_outputs(smaller.get_submodule(slot.layer), _rows(slot, stay), slot.layer)
            for slot in group.consumers:
                _narrow_inputs(smaller.get_submodule(slot.layer), _rows(slot, stay), slot.layer)
        return smaller


def _rows(slot: Slot, stay: Tensor) -> Tensor:
    """Positions in the slot's layer that stay: of other groups' channels (-1) too."""
    return ((slot.channel_of < 0) | torch.isin(slot.channel_of, stay)).nonzero().flatten()


def _narrow_outputs(layer: nn.Module, rows: Tensor, name: str) -> None:
    if isinstance(layer, nn.BatchNorm2d):
        for key, value in (*layer.named_parameters(), *layer.named_buffers()):
            if value.dim():
                getattr(layer, key).data = value.data[rows].clone()
        layer.num_features = len(rows)
    elif isinstance(layer, SLICED):
        for _, parameter in layer.named_parameters():
            parameter.data = parameter.data[rows].clone()
        setattr(
            layer, "out_channels" if isinstance(layer, nn.Conv2d) else "out_features", len(rows)
        )
    else:
        raise ModelError(f"{type(layer).__name__} cannot be narrowed", where=name)


def _narrow_inputs(layer: nn.Module, rows: Tensor, name: str) -> None:
    if not isinstance(layer, SLICED):
        raise ModelError(f"{type(layer).__name__} cannot be narrowed", where=name)
    layer.weight.data = layer.weight.data[:, rows].clone()
    setattr(layer, "in_channels" if isinstance(layer, nn.Conv2d) else "in_features", len(rows))


PLUGIN = InPlace()
