"""Groups of coupled channels: which channels of which layers can only be removed together.

A residual addition couples the outputs of every layer that feeds it; a concatenation shifts the
positions at which a consumer sees a channel; a flatten spreads one channel over many inputs. The
couplings come from Torch-Pruning's dependency graph (Fang et al. 2023, DepGraph, section 3), which
also names the consumers that importance scores need.
"""

from __future__ import annotations

import contextlib
import io
import sys
import warnings
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from edgespiral.core.errors import ModelError, NothingToCutError
from edgespiral.prune.unstack import RECURRENT, directions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from torch import Tensor
    from torch.fx import GraphModule, Node

    from edgespiral.core.nested import Tensors

PRUNABLE = (
    nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d,
    nn.Linear,
)  # fmt: skip


@dataclass(frozen=True)
class Slot:
    """One side of one layer that a group governs.

    `channel_of` has one entry a position of that side: the group's channel that lives there, or
    -1 where the position belongs to another group. `batch_axis` is where a consumer's inputs have
    their samples.
    """

    layer: str
    channel_of: Tensor
    batch_axis: int = 0


@dataclass(frozen=True)
class ChannelGroup:
    """Channels that leave together.

    The first producer is the group's root: a weighted layer that has all its channels.
    `sub_groups` above 1 means that the channels are split into that many equal runs (a grouped
    convolution) which must lose the same channel of each run, so widths step by `sub_groups`. With
    `free_runs` (the directions of a recurrent layer) each run loses as many, but may choose which.
    """

    name: str
    channels: int
    sub_groups: int
    producers: tuple[Slot, ...]
    consumers: tuple[Slot, ...]
    free_runs: bool = False

    @property
    def root(self) -> str:
        """The layer from which the group was found."""
        return self.producers[0].layer

    @property
    def units(self) -> int:
        """Number of independent choices: channels that leave together count as one."""
        return self.channels // self.sub_groups

    def channels_of_units(self, units: Iterable[int]) -> list[int]:
        """The sorted channels that the given units stand for."""
        return sorted(u + run * self.units for u in units for run in range(self.sub_groups))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Nothing is printed meanwhile: torch.fx prints the traceback of each run that fails."""
    nowhere = io.StringIO()
    with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        yield


def dependency_graph(model: nn.Module, example: Tensors) -> Any:  # noqa: ANN401
    """Torch-Pruning's dependency graph of `model`, traced with `example` (N, C, H, W).

    Raises:
        ModelError: the couplings cannot be derived.
    """
    training = model.training
    frozen = [p for p in model.parameters() if p.is_floating_point() and not p.requires_grad]
    try:
        with quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for parameter in frozen:  # couplings are read off what autograd records
                parameter.requires_grad_(True)
            return _torch_pruning().DependencyGraph().build_dependency(model.eval(), example)
    except Exception as error:
        raise _underivable(model, error) from error
    finally:
        model.train(training)
        for parameter in frozen:
            parameter.requires_grad_(False)


def _underivable(model: nn.Module, error: Exception) -> ModelError:
    return ModelError(
        f"cannot derive which channels are coupled: {error}".splitlines()[0],
        where=type(model).__name__,
        hint="see docs/architectures.md for what can be cut",
    )


def find_groups(model: GraphModule, example: Tensors) -> list[ChannelGroup]:
    """Every group of coupled channels that may be cut, in network order.

    Groups that reach the model's output are left out: output layers keep their size. So are those
    of layers that share a parameter.

    Raises:
        ModelError: the couplings cannot be derived.
        NothingToCutError: nothing in the model can be cut.
    """
    graph = dependency_graph(model, example)
    names = {module: name for name, module in model.named_modules()}
    protected = output_layers(model)
    try:
        raw = graph.get_all_groups(root_module_types=list(PRUNABLE))
        groups = [_from_torch_pruning(group, names) for group in raw]
    except Exception as error:  # such as positions that it counts wrongly
        raise _underivable(model, error) from error
    cuttable = (g for g in groups if g.consumers and not protected & {s.layer for s in g.producers})
    order = {name: index for index, (name, _) in enumerate(model.named_modules())}
    return sorted(unshared(model, cuttable), key=lambda group: order[group.name])


def output_layers(model: GraphModule) -> set[str]:
    """Layers whose outputs reach the model's output with no other weighted layer between."""
    layers: set[str] = set()
    seen: set[Node] = set()
    pending = [node for node in model.graph.nodes if node.op == "output"]
    while pending:
        node = pending.pop()
        if node in seen:
            continue
        seen.add(node)
        if node.op == "call_module" and isinstance(model.get_submodule(str(node.target)), PRUNABLE):
            layers.add(str(node.target))
        else:
            pending.extend(node.all_input_nodes)
    return layers


def sharing_layers(model: nn.Module) -> set[str]:
    """Layers of which a parameter is another layer's, too: they cannot be cut apart."""
    uses = Counter(id(p) for _, p in model.named_parameters(remove_duplicate=False))
    return {
        name
        for name, layer in model.named_modules()
        if any(uses[id(p)] > 1 for p in layer.parameters(recurse=False))
    }


def unshared(model: nn.Module, groups: Iterable[ChannelGroup]) -> list[ChannelGroup]:
    """Those of `groups` none of whose layers shares a parameter with another layer.

    Raises:
        NothingToCutError: there are none.
    """
    shared = sharing_layers(model)
    unshared_groups = [
        g for g in groups if not shared & {s.layer for s in (*g.producers, *g.consumers)}
    ]
    if not unshared_groups:
        raise NothingToCutError(
            "no layer has channels that can be cut",
            hint="channels stay that reach the output, meet the input or share their parameters",
        )
    return unshared_groups


def outputs_of(layer: nn.Module) -> int | None:
    """Channels that a weighted layer produces; None where it has no weight of its own."""
    if isinstance(layer, RECURRENT):
        return layer.hidden_size * directions(layer)
    if isinstance(layer, nn.Embedding):
        return layer.embedding_dim
    if isinstance(layer, _ConvTransposeNd):
        return layer.out_channels
    weight = getattr(layer, "weight", None)
    return len(weight) if isinstance(weight, torch.Tensor) else None


def widths_of(groups: Sequence[ChannelGroup]) -> dict[str, int]:
    """Channels per group, by group name."""
    return {group.name: group.channels for group in groups}


def renamed(
    groups: Sequence[ChannelGroup], reference: Sequence[ChannelGroup]
) -> list[ChannelGroup]:
    """`groups` under the names that their layers' groups have in `reference`.

    A group goes by its first layer; where that layer is gone, a later turn would otherwise know
    the group by another name than the first turn did. Of several groups of one layer, the order
    tells which is which.
    """
    names: dict[str, list[str]] = {}
    for group in reference:
        for slot in group.producers:
            names.setdefault(slot.layer, []).append(group.name)
    seen = Counter[str]()
    result = []
    for group in groups:
        own = names[group.root]
        result.append(replace(group, name=own[min(seen[group.root], len(own) - 1)]))
        seen[group.root] += 1
    return result


def removed_channels(
    groups: Sequence[ChannelGroup], kept_channels: Mapping[str, Sequence[int]]
) -> dict[str, list[int]]:
    """Per group the channels that `kept_channels` leaves out; not those that lose none."""
    removed = {g.name: sorted(set(range(g.channels)) - set(kept_channels[g.name])) for g in groups}
    return {name: channels for name, channels in removed.items() if channels}


def _torch_pruning() -> Any:  # noqa: ANN401
    """Torch-Pruning without timm, which it imports where that is there.

    It only counts operations of timm's models by it, and importing it takes seconds.
    """
    modules: dict[str, Any] = sys.modules
    if {"timm", "torch_pruning"}.isdisjoint(modules):
        modules["timm"] = None
        try:
            import torch_pruning
        finally:
            del modules["timm"]
    import torch_pruning

    return torch_pruning


def _from_torch_pruning(group: Any, names: Mapping[nn.Module, str]) -> ChannelGroup:  # noqa: ANN401
    channels = len(group[0].idxs)
    producers: list[Slot] = []
    consumers: list[Slot] = []
    sub_groups = 1
    for item in group:
        module = item.dep.target.module
        if module not in names:
            continue
        is_consumer = "in_channels" in item.dep.handler.__name__ and not _is_depthwise(module)
        sub_groups = max(sub_groups, _runs(module))
        slot = _slot(names[module], module, item, is_consumer=is_consumer)
        (consumers if is_consumer else producers).append(slot)
    root = _root(producers, channels, names)
    producers.sort(key=lambda slot: slot.layer != root)
    return ChannelGroup(root, channels, sub_groups, tuple(producers), _merge(consumers))


def _root(producers: Sequence[Slot], channels: int, names: Mapping[nn.Module, str]) -> str:
    """The first weighted layer with all the group's channels; a concatenation's parts lack some."""
    modules = {name: module for module, name in names.items()}
    order = list(names.values())
    whole = [
        slot.layer
        for slot in producers
        if isinstance(modules[slot.layer], PRUNABLE)
        and torch.equal(slot.channel_of, torch.arange(channels))
    ]
    if not whole:
        raise ModelError("no layer has all channels of its group", where=producers[0].layer)
    return min(whole, key=order.index)


def _slot(name: str, module: nn.Module, item: Any, *, is_consumer: bool) -> Slot:  # noqa: ANN401
    channel_of = torch.full((_side(module, is_consumer=is_consumer),), -1)
    if max(item.idxs) >= len(channel_of):
        raise ModelError("its channels are not those that Torch-Pruning sees", where=name)
    channel_of[torch.tensor(list(item.idxs))] = torch.tensor(list(item.root_idxs))
    return Slot(name, channel_of)


def _merge(slots: Sequence[Slot]) -> tuple[Slot, ...]:
    """One slot a layer: a layer can read the same group at several positions."""
    merged: dict[str, Tensor] = {}
    for slot in slots:
        before = merged.get(slot.layer)
        merged[slot.layer] = slot.channel_of if before is None else before.maximum(slot.channel_of)
    return tuple(Slot(layer, channel_of) for layer, channel_of in merged.items())


def _is_depthwise(module: nn.Module) -> bool:
    return isinstance(module, _ConvNd) and 1 < module.groups == module.out_channels


def _runs(module: nn.Module) -> int:
    if isinstance(module, nn.GroupNorm):
        return module.num_groups
    if isinstance(module, _ConvNd) and not _is_depthwise(module):
        return module.groups
    return 1


def _side(module: nn.Module, *, is_consumer: bool) -> int:
    names = ("in_channels", "in_features") if is_consumer else ("out_channels", "out_features")
    for name in (*names, "num_features", "num_channels", "num_parameters"):
        if hasattr(module, name):
            return int(getattr(module, name))
    shape = getattr(module, "normalized_shape", None)
    if shape is not None:
        return int(shape[-1])
    raise ModelError(f"do not know the channels of a {type(module).__name__}")
