"""Rules of layers: which channels one reads and which it makes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.modules.instancenorm import _InstanceNorm

from edgespiral.prune.absent import mark_of
from edgespiral.prune.engines.flow.labels import Rule, opaque, varying
from edgespiral.prune.engines.flow.rules.moves import spread
from edgespiral.prune.unstack import RECURRENT, directions

if TYPE_CHECKING:
    from torch import Tensor
    from torch.fx import Node

    from edgespiral.prune.engines.flow.labels import Labeller


def linear(run: Labeller, node: Node, value: Tensor) -> Any:  # noqa: ANN401
    """Reads and makes the last dimension; if channels lie on another, it mixes their positions."""
    name, labels = str(node.target), run.labels_in(node.args[0])
    if _are_positions(run, name, labels, -1):
        return labels.narrow(-1, 0, 1).expand(value.shape)
    outputs = _weighted(run, name, labels, -1, value.shape[-1])
    return outputs.expand(value.shape)


def _are_positions(run: Labeller, name: str, labels: Tensor, dim: int) -> bool:
    """Whether a layer mixes what is not channels, as a token-mixing MLP does, in all its calls."""
    differ = varying(labels)
    return name not in run.reads and bool(differ) and dim % labels.dim() not in differ


def convolution(run: Labeller, node: Node, value: Tensor) -> Any:  # noqa: ANN401
    """Reads and makes dimension 1; runs of a grouped one lose the same places, or leave whole."""
    name, layer = str(node.target), _conv(run, node)
    labels = run.labels_in(node.args[0])
    if value.dim() != layer.weight.dim():
        return opaque(run, node, value)
    if _is_pointwise(layer) and _are_positions(run, name, labels, 1):
        return labels.narrow(1, 0, 1).expand(value.shape)
    if _lie_along_positions(labels):
        run.ties.freeze(labels, "lie along the positions that it mixes")
    if takes_whole_groups(layer) or name in run.whole_groups:
        return spread(_by_groups(run, name, labels, layer), value, 1)
    outputs = _weighted(run, name, labels, 1, layer.out_channels)
    for columns in (run.reads[name], outputs) if layer.groups > 1 else ():
        runs = columns.view(layer.groups, -1)
        run.ties.tie(runs, runs[:1])
    return spread(outputs, value, 1)


def _is_pointwise(layer: _ConvNd) -> bool:
    sizes = (*layer.kernel_size, *layer.stride)
    plain = not isinstance(layer, _ConvTransposeNd) and not any(layer.padding)
    return plain and layer.groups == 1 and set(sizes) == {1}


def _lie_along_positions(labels: Tensor) -> bool:
    """Whether a convolution runs over channels as if they were pixels, as ECA's does."""
    first = labels[:, :1]
    return bool((labels == first).all()) and bool(
        (first != first.flatten(2)[..., :1].view(*first.shape[:2], *[1] * (labels.dim() - 2))).any()
    )


def takes_whole_groups(layer: _ConvNd) -> bool:
    """Whether a grouped convolution loses groups, as each has one input or one output."""
    return layer.groups > 1 and layer.groups in (layer.in_channels, layer.out_channels)


def _conv(run: Labeller, node: Node) -> _ConvNd:
    layer = run.submodules[str(node.target)]
    assert isinstance(layer, _ConvNd)
    return layer


def _by_groups(run: Labeller, name: str, labels: Tensor, layer: _ConvNd) -> Tensor:
    columns = run.ties.columns(labels, 1).view(layer.groups, -1)
    run.ties.tie(columns, columns[:, :1])
    outputs = columns[:, 0].repeat_interleave(layer.out_channels // layer.groups)
    run.ties.tie(outputs, run.writes.setdefault(name, outputs))
    return outputs


def _weighted(run: Labeller, name: str, labels: Tensor, dim: int, outputs: int) -> Tensor:
    columns = run.ties.columns(labels, dim)
    # A layer that is called again reads and writes the same channels.
    run.ties.tie(columns, run.reads.setdefault(name, columns))
    if name not in run.writes:
        run.writes[name] = run.ties.fresh(outputs)
    return run.writes[name]


def _channelwise(run: Labeller, name: str, labels: Tensor, dim: int) -> Tensor:
    columns = run.ties.columns(labels, dim)
    run.ties.tie(columns, run.writes.setdefault(name, columns))
    return columns


def channel_norm(run: Labeller, node: Node, value: Tensor) -> Any:  # noqa: ANN401, ARG001
    """Batch and instance norm treat each channel by itself."""
    labels: Tensor = run.labels_in(node.args[0])
    _channelwise(run, str(node.target), labels, 1)
    return labels


def identity(run: Labeller, node: Node, value: Tensor) -> Any:  # noqa: ANN401, ARG001
    """Passes on what it is given; one that marks a comparison of channels is told which leave."""
    labels: Tensor = run.labels_in(node.args[0])
    absent = mark_of(run.submodules[str(node.target)])
    if absent is not None:
        _channelwise(run, str(node.target), labels, absent.dim)
    return labels


def prelu(run: Labeller, node: Node, value: Tensor) -> Any:  # noqa: ANN401, ARG001
    """A slope for each channel, or one for all."""
    labels: Tensor = run.labels_in(node.args[0])
    layer: Any = run.submodules[str(node.target)]
    if layer.num_parameters > 1:
        _channelwise(run, str(node.target), labels, 1)
    return labels


def last_norm(run: Labeller, node: Node, value: Tensor) -> Any:  # noqa: ANN401
    """Layer and RMS norm over the last dimension; what stays is normalised by itself."""
    layer: Any = run.submodules[str(node.target)]
    labels: Tensor = run.labels_in(node.args[0])
    if len(layer.normalized_shape) != 1:
        return opaque(run, node, value)
    _channelwise(run, str(node.target), labels, -1)
    return labels


def group_norm(run: Labeller, node: Node, value: Tensor) -> Any:  # noqa: ANN401, ARG001
    """Groups of channels lose the same places; what stays is normalised by itself."""
    layer: Any = run.submodules[str(node.target)]
    labels: Tensor = run.labels_in(node.args[0])
    runs = _channelwise(run, str(node.target), labels, 1).view(layer.num_groups, -1)
    if runs.shape[1] == 1:  # each channel by itself: the number of groups would have to change
        run.ties.freeze(runs, "are a group of a norm each")
    run.ties.tie(runs, runs[:1])
    return labels


def embedding(run: Labeller, node: Node, value: Tensor) -> Any:  # noqa: ANN401
    """Makes the last dimension of ids."""
    name, layer = str(node.target), run.submodules[str(node.target)]
    assert isinstance(layer, nn.Embedding)
    if layer.max_norm is not None:
        return opaque(run, node, value)
    if name not in run.writes:
        run.writes[name] = run.ties.fresh(layer.embedding_dim)
    return run.writes[name].expand(value.shape)


def recurrent(run: Labeller, node: Node, value: Any) -> Any:  # noqa: ANN401
    """Hidden units, forward ones and then backward ones, are read at the next step, too."""
    name, layer = str(node.target), run.submodules[str(node.target)]
    assert isinstance(layer, nn.RNNBase)
    steps: Tensor = run.labels_in(node.args[0])
    if not isinstance(layer, RECURRENT) or layer.num_layers > 1 or layer.proj_size:
        return opaque(run, node, value)
    if steps.dim() != 3 or node.kwargs:
        return opaque(run, node, value)
    runs = directions(layer)
    units = _weighted(run, name, steps, -1, layer.hidden_size * runs)
    if runs > 1:
        run.ties.two_way.append(units)
    state = units.view(runs, 1, layer.hidden_size)
    for start in run.tensors(node.args[1:]):
        run.ties.tie(start, state.expand(start.shape))
    outputs, final = value
    finals = tuple(state.expand(s.shape) for s in final) if isinstance(final, tuple) else (
        state.expand(final.shape)
    )  # fmt: skip
    return units.expand(outputs.shape), finals


LAYERS: dict[type[nn.Module], Rule] = {
    nn.Linear: linear,
    _ConvNd: convolution,
    _BatchNorm: channel_norm,
    _InstanceNorm: channel_norm,
    nn.Identity: identity,
    nn.PReLU: prelu,
    nn.LayerNorm: last_norm,
    nn.RMSNorm: last_norm,
    nn.GroupNorm: group_norm,
    nn.Embedding: embedding,
    nn.RNNBase: recurrent,
}
