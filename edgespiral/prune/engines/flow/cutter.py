"""Cuts along labels: every tensor loses a slice, every layer and every size follows."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
import torch.fx
from torch import nn

from edgespiral.core.errors import ModelError
from edgespiral.prune.engines.flow.follow import Flow, follow, losing
from edgespiral.prune.engines.flow.labels import FROZEN, compact
from edgespiral.prune.engines.flow.narrowing import keep, narrow
from edgespiral.prune.engines.flow.rules.moves import first
from edgespiral.prune.engines.flow.sizes import Sizes, sizes_of, write_down_numbers
from edgespiral.prune.groups import removed_channels

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor
    from torch.fx import GraphModule, Node

    from edgespiral.core.nested import Tensors
    from edgespiral.prune.groups import ChannelGroup

RESHAPES = ("view", "reshape", "view_as", "reshape_as", "unflatten")
SPLITS = ("chunk", "split", "split_with_sizes", "tensor_split", "unsafe_chunk", "unsafe_split")
EXPANDS = ("expand", "broadcast_to")
SLICES = ("getitem", "narrow")


class FlowCutter:
    """Removes what the labels of the removed channels reach, in whatever operation they do."""

    name = "flow"

    def cut(
        self,
        model: GraphModule,
        example: Tensors,
        groups: Sequence[ChannelGroup],
        kept_channels: Mapping[str, Sequence[int]],
    ) -> GraphModule:
        """See `Cutter.cut`."""
        removed = removed_channels(groups, kept_channels)
        smaller = copy.deepcopy(model)
        if not removed:
            return smaller
        flow, sizes = self._followed(model, example)
        knife = _Knife(flow, _leaving(flow, groups, removed))
        write_down_numbers(smaller, sizes, knife.shapes)
        for node in list(smaller.graph.nodes):
            _resize(smaller, node, knife, sizes.batch)
        for name in flow.writes:
            knife.narrow_layer(smaller, name)
        for name in flow.parameters:
            knife.narrow_parameter(smaller, name)
        smaller.graph.eliminate_dead_code()
        smaller.recompile()
        return smaller

    def _followed(self, model: GraphModule, example: Tensors) -> tuple[Flow, Sizes]:
        return follow(model, example), sizes_of(model, example)


class TrialCutter(FlowCutter):
    """Cuts one model again and again, through which it follows labels once.

    Args:
        model: the traced model, which `cut` is to be called with.
        flow: what its labels came to.
        example: one input batch (1, C, H, W).
    """

    def __init__(self, model: GraphModule, flow: Flow, example: Tensors) -> None:
        self._once = flow, sizes_of(model, example)

    def _followed(self, model: GraphModule, example: Tensors) -> tuple[Flow, Sizes]:  # noqa: ARG002
        return self._once


class _Knife:
    """Knows which components leave, and so which places of each tensor stay."""

    def __init__(self, flow: Flow, leaving: Tensor) -> None:
        self.flow = flow
        self._leaving = leaving

    def staying(self, components: Tensor) -> Tensor:
        """Positions of (size,) components that stay."""
        return torch.nonzero(~torch.isin(components, self._leaving)).flatten()

    def along(self, components: Tensor) -> tuple[int, Tensor] | None:
        """The dimension of a tensor that loses something, and the positions that stay there."""
        dims = losing(components, self.flow.two_way)
        if not bool(torch.isin(compact(components), self._leaving).any()):
            return None
        if not dims:
            raise ModelError("cannot remove every channel")
        positions = components.movedim(dims[0], 0).reshape(components.shape[dims[0]], -1)[:, 0]
        return dims[0], self.staying(positions)

    def shapes(self, name: str) -> list[list[int]]:
        """Shapes of the tensors that a node gives once everything that leaves has left."""
        return [_sizes(part, self.along(part)) for part in self.flow.nodes.get(name, ())]

    def narrow_parameter(self, model: nn.Module, name: str) -> None:
        """Slice a parameter that the graph reads itself."""
        place = self.along(self.flow.parameters[name])
        if place is not None:
            path, _, own = name.rpartition(".")
            keep(model.get_submodule(path), own, *place)

    def narrow_layer(self, model: nn.Module, name: str) -> None:
        """Slice a layer's parameters and buffers, and correct the sizes it states."""
        layer = model.get_submodule(name)
        outputs = self.staying(self.flow.writes[name])
        inputs = self.staying(self.flow.reads[name]) if name in self.flow.reads else None
        if not len(outputs) or (inputs is not None and not len(inputs)):
            raise ModelError("cannot remove every channel", where=name)
        narrow(layer, outputs, inputs)


def _leaving(
    flow: Flow, groups: Sequence[ChannelGroup], removed: Mapping[str, Sequence[int]]
) -> Tensor:
    """Components of the removed channels."""
    labels = [torch.zeros(0, dtype=torch.long)]
    for group in (group for group in groups if group.name in removed):
        (root,) = [slot for slot in group.producers if slot.layer == group.root]
        gone = torch.isin(root.channel_of, torch.tensor(removed[group.name]))
        if bool((flow.writes[group.root][gone] == FROZEN).any()):
            raise ModelError("not all uses of its channels are known", where=group.root)
        labels.append(flow.writes[group.root][gone])
    return torch.cat(labels)


def _resize(model: GraphModule, node: Node, knife: _Knife, batch: Mapping[str, list[int]]) -> None:
    """Write the new sizes into an operation that states them."""
    name = _operation(model, node)
    components = knife.flow.nodes.get(node.name, ())
    if name == "index_select" and components:
        _reorder(model, node, knife)
    elif name in SLICES and node.name in knife.flow.indices:
        _retake(node, knife)
    if name not in (*RESHAPES, *SPLITS, *EXPANDS):
        return
    cuts = [knife.along(part) for part in components]
    # A size that is read off another tensor would follow that tensor's cut.
    if not any(cuts) and len(node.all_input_nodes) < 2:
        return
    if name in RESHAPES:
        sizes = _sizes(components[0], cuts[0])
        for dim in batch[node.name]:
            sizes[dim] = -1
        if sizes.count(-1) > 1:
            if not any(cuts):
                return
            raise ModelError("the batch is spread over several dimensions", where=node.name)
        node.args, node.kwargs = (first(node), *sizes), {}
        node.op, node.target = "call_method", "reshape"
    elif name in SPLITS:
        _resplit(node, components, cuts)
    else:
        sizes = _sizes(components[0], cuts[0])
        node.args = (node.args[0], *_expanded(node.args[1:], sizes, batch[node.name]))


def _operation(model: GraphModule, node: Node) -> str:
    """What a node calls; layers that only state sizes go by the function's name."""
    if node.op == "call_module":
        return (
            "unflatten" if isinstance(model.get_submodule(str(node.target)), nn.Unflatten) else ""
        )
    if node.op not in ("call_method", "call_function"):
        return ""
    return str(getattr(node.target, "__name__", node.target))


def _resplit(
    node: Node, components: Sequence[Tensor], cuts: Sequence[tuple[int, Tensor] | None]
) -> None:
    """State the sizes of a split's parts, if it is their dimension that loses something."""
    dim_argument: Any = node.kwargs.get("dim", node.args[2] if len(node.args) > 2 else 0)
    if not isinstance(dim_argument, int):
        raise ModelError("the dimension that is split is computed", where=node.name)
    dim = dim_argument % components[0].dim()
    loses = any(cut is not None and cut[0] == dim for cut in cuts)
    if not loses and len(node.all_input_nodes) < 2:
        return
    sizes = [_sizes(part, cut)[dim] for part, cut in zip(components, cuts, strict=True)]
    if 0 in sizes:
        raise ModelError("a part of a split loses every channel", where=node.name)
    node.args, node.kwargs = (first(node), sizes, dim), {}
    node.op, node.target = "call_function", torch.split


def _retake(node: Node, knife: _Knife) -> None:
    """Move the bounds of a run of channels to where these are once others are gone."""
    source: Any = first(node)
    (before,) = knife.flow.nodes[source.name]
    cut = knife.along(before)
    places = knife.flow.indices[node.name]
    if cut is None or cut[0] >= len(places):
        _state(node, source, places, before)
        return
    dim, stay = cut
    start, stop, _ = places[dim].indices(before.shape[dim])
    if (start, stop) == (0, before.shape[dim]):
        return
    low, high = int((stay < start).sum()), int((stay < stop).sum())
    if low == high:
        raise ModelError("a part loses every channel", where=node.name)
    if str(getattr(node.target, "__name__", node.target)) == "narrow":
        node.args = (*node.args[:2], low, high - low)
        return
    index = node.args[1] if isinstance(node.args[1], tuple) else (node.args[1],)
    # Of several slices it is the one whose dimension, counted without new ones, is the cut's.
    node.args = (source, _with_slice(index, before.dim(), dim, slice(low, high)))


def _state(node: Node, source: Node, places: Sequence[Any], before: Tensor) -> None:
    """Write down bounds that are read off another tensor, which may be cut."""
    if len(node.all_input_nodes) < 2 or not isinstance(node.args[1], tuple):
        return
    index: tuple[Any, ...] = node.args[1]
    for dim, place in enumerate(places):
        if isinstance(place, slice) and place != slice(None):
            bounds = place.indices(before.shape[dim])
            index = _with_slice(index, before.dim(), dim, slice(*bounds[:2], place.step))
    node.args = (source, index)


def _with_slice(index: Sequence[Any], dims: int, dim: int, part: slice) -> tuple[Any, ...]:
    """An index with the part that it takes of dimension `dim` replaced."""
    used = sum(p is not None and p is not Ellipsis for p in index)
    here, new = 0, list(index)
    for place, part_there in enumerate(index):
        if part_there is Ellipsis:
            here += dims - used
        elif part_there is not None:
            if here == dim:
                new[place] = part
            here += 1
    return tuple(new)


def _expanded(stated: Sequence[Any], sizes: Sequence[int], batch: Sequence[int]) -> list[Any]:
    """Stated sizes of an `expand`, corrected where they are not the batch's."""
    flat = stated[0] if len(stated) == 1 and isinstance(stated[0], tuple | list) else stated
    pairs = enumerate(zip(flat, sizes, strict=True))
    return [s if s == -1 or d in batch else n for d, (s, n) in pairs]


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
    assert isinstance(dim, int)
    (before,) = knife.flow.nodes[source.name]
    cut = knife.along(before)
    # A selection of positions keeps them all while channels leave along another dimension.
    if cut is None or cut[0] != dim % before.dim():
        return
    order: Tensor = getattr(model, str(index.target))
    stay = cut[1]
    kept_order = order[torch.isin(order, stay)]
    setattr(model, str(index.target), torch.searchsorted(stay, kept_order))
