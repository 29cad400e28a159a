"""Groups of coupled channels from labels: what `find_groups` gives, for any architecture."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import torch
from torch import nn

from edgespiral.prune.engines.flow.labels import FROZEN, Flow, follow
from edgespiral.prune.groups import PRUNABLE, ChannelGroup, Slot, unshared

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor
    from torch.fx import GraphModule, Node

OVER_CHANNELS = (nn.LayerNorm, nn.GroupNorm, nn.MultiheadAttention)
SIZES = {"size", "dim", "numel", "getattr"}
PRODUCTS = {"matmul", "bmm", "einsum", "scaled_dot_product_attention"}


def groups_by_flow(model: GraphModule, example: Tensor) -> list[ChannelGroup]:
    """Every group of coupled channels of which all effects are known, in network order.

    Groups that no layer has whole, or that have a single unit, are left out, and so are those of
    layers that share a parameter, and those that do not see the model's inputs: gates, which
    differ by sample, cannot say what they matter.

    Raises:
        NothingToCutError: nothing in the model can be cut.
    """
    flow = follow(model, example)
    fixed = _without_samples(model)
    order = [name for name, _ in model.named_modules() if name in flow.reads]
    roots = [layer for layer in order if layer not in fixed]
    candidates = (_group(flow, units, roots) for units in _classes(flow, order))
    cuttable = (g for g in candidates if g and not fixed & {s.layer for s in g.consumers})
    return sorted(unshared(model, cuttable), key=lambda group: order.index(group.name))


def needs_flow(model: GraphModule) -> bool:
    """Whether the graph has what other ways to find groups do not follow.

    Such are norms over channels, parameters that the graph reads itself, attention, selections of
    channels, and outputs of layers that meet the model's input; for all else Torch-Pruning gives
    the same groups ten times faster.
    """
    layers = (model.get_submodule(str(n.target)) for n in model.graph.find_nodes(op="call_module"))
    if any(isinstance(layer, OVER_CHANNELS) for layer in layers):
        return True
    names = {getattr(n.target, "__name__", n.target) for n in model.graph.nodes}
    reads_itself = any(True for _ in model.graph.find_nodes(op="get_attr"))
    return bool(names & PRODUCTS) or reads_itself or _meets_input(model)


def _meets_input(model: GraphModule) -> bool:
    """Whether a layer's output is combined with the input as it comes: their channels must stay."""
    unweighted: set[Node] = set()
    for node in model.graph.nodes:
        inputs = set(node.all_input_nodes)
        if node.op == "placeholder":
            unweighted.add(node)
        elif node.op == "output" or not inputs & unweighted or _is_weighted_or_size(model, node):
            continue
        elif not inputs <= unweighted:
            return True
        else:
            unweighted.add(node)
    return False


def _is_weighted_or_size(model: GraphModule, node: Node) -> bool:
    if node.op == "call_module":
        return isinstance(model.get_submodule(str(node.target)), PRUNABLE)
    return getattr(node.target, "__name__", node.target) in SIZES


def _without_samples(model: GraphModule) -> set[str]:
    """Layers that compute the same whatever the input, such as one that makes position biases."""
    alone: set[Node] = set()
    for node in model.graph.nodes:
        if node.op != "placeholder" and alone >= set(node.all_input_nodes):
            alone.add(node)
    return {str(node.target) for node in alone if node.op == "call_module"}


def _classes(flow: Flow, order: Sequence[str]) -> list[set[int]]:
    """Components that the same layers give, which are cut by one width."""
    classes: list[set[int]] = []
    for layer in order:
        here = set(flow.writes[layer].tolist()) - {FROZEN}
        joined = [known for known in classes if known & here]
        classes = [known for known in classes if not known & here]
        if here:
            classes.append(here.union(*joined))
    return classes


def _group(flow: Flow, units: set[int], roots: Sequence[str]) -> ChannelGroup | None:
    root = next((layer for layer in roots if _is_whole(flow.writes[layer], units)), None)
    if root is None or len(units) < 2:
        return None
    numbers = {unit: i for i, unit in enumerate(dict.fromkeys(flow.writes[root].tolist()))}
    runs = len(flow.writes[root]) // len(units)
    producers = _slots(flow.writes, numbers, runs)
    consumers = _slots(flow.reads, numbers, runs)
    if {unit for layer in flow.reads.values() for unit in layer.tolist()} < units or not consumers:
        return None
    producers.sort(key=lambda slot: slot.layer != root)
    return ChannelGroup(root, runs * len(units), runs, tuple(producers), tuple(consumers))


def _is_whole(written: Tensor, units: set[int]) -> bool:
    counts = Counter(written.tolist())
    return set(counts) == units and len(set(counts.values())) == 1


def _slots(sides: dict[str, Tensor], numbers: dict[int, int], runs: int) -> list[Slot]:
    slots = []
    for layer, components in sides.items():
        channel_of = _channels(components.tolist(), numbers, runs)
        if bool((channel_of >= 0).any()):
            slots.append(Slot(layer, channel_of))
    return slots


def _channels(components: Sequence[int], numbers: dict[int, int], runs: int) -> Tensor:
    """Per position the group's channel: run `r` of unit `u` is channel `u + r * units`."""
    totals, seen = Counter(components), Counter[int]()
    channels = []
    for component in components:
        unit = numbers.get(component, -1)
        run = seen[component] * runs // totals[component]
        seen[component] += 1
        channels.append(unit + run * len(numbers) if unit >= 0 else -1)
    return torch.tensor(channels)
