"""Cuts along labels: every tensor loses a slice, every layer and every size follows."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
import torch.fx
from torch import nn
from torch.fx.passes.shape_prop import ShapeProp
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from edgespiral.core.errors import ModelError
from edgespiral.prune.engines.flow.labels import FROZEN, Flow, follow, varying
from edgespiral.prune.groups import removed_channels

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor
    from torch.fx import GraphModule, Node

    from edgespiral.prune.groups import ChannelGroup

RESHAPES = ("view", "reshape")
SPLITS = ("chunk", "split")


class FlowCutter:
    """Removes what the labels of the removed channels reach, in whatever operation they do."""

    name = "flow"

    def cut(
        self,
        model: GraphModule,
        example: Tensor,
        groups: Sequence[ChannelGroup],
        kept: Mapping[str, Sequence[int]],
    ) -> GraphModule:
        """See `Cutter.cut`."""
        removed = removed_channels(groups, kept)
        smaller = copy.deepcopy(model)
        if not removed:
            return smaller
        flow = follow(model, example)
        knife = _Knife(flow, _leaving(flow, groups, removed))
        batch = _batch_dimensions(model, example)
        for node in list(smaller.graph.nodes):
            _resize(smaller, node, knife, batch)
        for name in dict.fromkeys([*flow.writes, *flow.reads]):
            knife.narrow_layer(smaller, name)
        for name in flow.parameters:
            knife.narrow_parameter(smaller, name)
        smaller.graph.eliminate_dead_code()
        smaller.recompile()
        return smaller


class _Knife:
    """Knows which components leave, and so which places of each tensor stay."""

    def __init__(self, flow: Flow, leaving: Tensor) -> None:
        self.flow = flow
        self._leaving = leaving

    def kept(self, components: Tensor) -> Tensor:
        """Positions of (size,) components that stay."""
        return torch.nonzero(~torch.isin(components, self._leaving)).flatten()

    def along(self, components: Tensor) -> tuple[int, Tensor] | None:
        """The dimension of a tensor that loses something, and the positions that stay there."""
        dims = varying(components)
        if not bool(torch.isin(components, self._leaving).any()):
            return None
        if not dims:
            raise ModelError("cannot remove every channel")
        positions = components.movedim(dims[0], 0).reshape(components.shape[dims[0]], -1)[:, 0]
        return dims[0], self.kept(positions)

    def narrow_parameter(self, model: nn.Module, name: str) -> None:
        """Slice a parameter that the graph reads itself."""
        found = self.along(self.flow.parameters[name])
        if found is not None:
            path, _, own = name.rpartition(".")
            _keep(model.get_submodule(path), own, *found)

    def narrow_layer(self, model: nn.Module, name: str) -> None:
        """Slice a layer's parameters and buffers, and correct the sizes it states."""
        layer = model.get_submodule(name)
        outputs = self.kept(self.flow.writes[name])
        if not len(outputs):
            raise ModelError("cannot remove every channel", where=name)
        if name in self.flow.reads:
            _narrow_weighted(layer, outputs, self.kept(self.flow.reads[name]), name)
        else:
            _narrow_channelwise(layer, outputs)


def _leaving(
    flow: Flow, groups: Sequence[ChannelGroup], removed: Mapping[str, Sequence[int]]
) -> Tensor:
    """Components of the removed channels."""
    found = [torch.zeros(0, dtype=torch.long)]
    for group in (group for group in groups if group.name in removed):
        (root,) = [slot for slot in group.producers if slot.layer == group.root]
        gone = torch.isin(root.channel_of, torch.tensor(removed[group.name]))
        if bool((flow.writes[group.root][gone] == FROZEN).any()):
            raise ModelError("not all uses of its channels are known", where=group.root)
        found.append(flow.writes[group.root][gone])
    return torch.cat(found)


def _narrow_weighted(layer: Any, outputs: Tensor, inputs: Tensor, name: str) -> None:  # noqa: ANN401
    if not len(inputs):
        raise ModelError("cannot remove every channel", where=name)
    if isinstance(layer, _ConvNd):
        # Runs of a grouped convolution lose the same places, so the first run's stand for all.
        run = layer.in_channels // layer.groups
        within = inputs[inputs < run]
        layer.in_channels, layer.out_channels = len(inputs), len(outputs)
    else:
        within = inputs
        layer.in_features, layer.out_features = len(inputs), len(outputs)
    _keep(layer, "weight", 0, outputs)
    _keep(layer, "weight", 1, within)
    _keep(layer, "bias", 0, outputs)


def _narrow_channelwise(layer: Any, channels: Tensor) -> None:  # noqa: ANN401
    for name in ("weight", "bias", "running_mean", "running_var"):
        _keep(layer, name, 0, channels)
    if isinstance(layer, _ConvNd):
        layer.groups = layer.in_channels = layer.out_channels = len(channels)
    elif isinstance(layer, _BatchNorm):
        layer.num_features = len(channels)
    else:
        layer.normalized_shape = (len(channels),)


def _keep(owner: nn.Module, name: str, dim: int, positions: Tensor) -> None:
    old = getattr(owner, name, None)
    if old is None or old.shape[dim] == len(positions):
        return
    new = old.detach().index_select(dim, positions.to(old.device))
    if isinstance(old, nn.Parameter):
        setattr(owner, name, nn.Parameter(new, requires_grad=old.requires_grad))
    else:
        setattr(owner, name, new)


def _resize(model: GraphModule, node: Node, knife: _Knife, batch: dict[str, list[int]]) -> None:
    """Write the new sizes into an operation that states them."""
    name = str(node.target) if node.op == "call_method" else getattr(node.target, "__name__", "")
    components = knife.flow.nodes.get(node.name, ())
    if node.op not in ("call_method", "call_function") or not components:
        return
    if name == "index_select":
        _reorder(model, node, knife)
        return
    cuts = [knife.along(part) for part in components]
    if not any(cuts):
        return
    if name in RESHAPES:
        sizes = _sizes(components[0], cuts[0])
        for dim in batch[node.name]:
            sizes[dim] = -1
        if sizes.count(-1) > 1:
            raise ModelError("the batch is spread over several dimensions", where=node.name)
        node.args, node.kwargs = (node.args[0], *sizes), {}
        node.op, node.target = "call_method", "reshape"
    elif name in SPLITS:
        dim = next(cut[0] for cut in cuts if cut is not None)
        sizes = [_sizes(part, cut)[dim] for part, cut in zip(components, cuts, strict=True)]
        node.args, node.kwargs = (node.args[0], sizes, dim), {}
        node.op, node.target = "call_function", torch.split
    elif name == "expand":
        asked = [s if isinstance(s, int) else -1 for s in _sizes(components[0], cuts[0])]
        node.args = (node.args[0], *_expanded(node.args[1:], asked))


def _expanded(stated: Sequence[Any], sizes: Sequence[int]) -> list[Any]:
    """Stated sizes of an `expand`, corrected where they are numbers that changed."""
    flat = stated[0] if len(stated) == 1 and isinstance(stated[0], tuple | list) else stated
    pairs = zip(flat, sizes, strict=True)
    return [n if isinstance(s, int) and s not in (-1, n) else s for s, n in pairs]


def _sizes(components: Tensor, cut: tuple[int, Tensor] | None) -> list[int]:
    sizes = list(components.shape)
    if cut is not None:
        sizes[cut[0]] = len(cut[1])
    return sizes


def _reorder(model: GraphModule, node: Node, knife: _Knife) -> None:
    """Renumber the positions that a selection of channels reads."""
    source, dim, index = node.args
    assert isinstance(source, torch.fx.Node)
    assert isinstance(index, torch.fx.Node)
    (before,), (after,) = (knife.flow.nodes[n.name] for n in (source, node))
    if knife.along(before) is None and knife.along(after) is None:
        return
    assert isinstance(dim, int)
    rows = before.movedim(dim, 0).reshape(before.shape[dim], -1)[:, 0]
    order: Tensor = getattr(model, str(index.target))
    stay = knife.kept(rows)
    kept_order = order[torch.isin(order, stay)]
    setattr(model, str(index.target), torch.searchsorted(stay, kept_order))


def _batch_dimensions(model: GraphModule, example: Tensor) -> dict[str, list[int]]:
    """Per node the dimensions whose size depends on the batch."""
    shapes = []
    for batch in (example, torch.cat([example, example])):
        run = ShapeProp(model)
        run.propagate(batch)
        metas = {n.name: n.meta.get("tensor_meta") for n in model.graph.nodes}
        shapes.append({n: m.shape for n, m in metas.items() if hasattr(m, "shape")})
    return {
        name: [d for d, (a, b) in enumerate(zip(one, shapes[1][name], strict=True)) if a != b]
        for name, one in shapes[0].items()
    }
