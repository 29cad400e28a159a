"""What each operation does to labels. An operation that is not listed here freezes its inputs."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor
    from torch.fx import Node

    from edgespiral.prune.engines.flow.labels import Labeller

    Rule = Callable[[Labeller, Node, Any], Any]

MOVES = {
    torch.cat, torch.concat, torch.stack, torch.chunk, torch.split, torch.unbind, torch.flatten,
    torch.reshape, torch.permute, torch.transpose, torch.swapaxes, torch.unsqueeze, torch.squeeze,
    torch.movedim, torch.index_select,
    "view", "reshape", "permute", "transpose", "swapaxes", "contiguous", "expand", "flatten",
    "chunk", "split", "unbind", "unsqueeze", "squeeze", "movedim", "clone", "detach",
    nn.Flatten, nn.Unflatten,
}  # fmt: skip
ELEMENTWISE = {
    operator.add, operator.iadd, operator.sub, operator.mul, operator.imul, operator.truediv,
    operator.neg, torch.add, torch.sub, torch.mul, torch.div, torch.relu, torch.sigmoid, torch.tanh,
    torch.clamp, torch.exp, F.relu, F.relu6, F.gelu, F.silu, F.hardswish, F.hardsigmoid,
    F.leaky_relu, F.elu, F.mish, F.sigmoid, F.tanh, F.dropout, F.dropout2d,
    "add", "add_", "sub", "mul", "mul_", "div", "relu", "sigmoid", "tanh", "clamp", "exp", "float",
    nn.ReLU, nn.ReLU6, nn.GELU, nn.SiLU, nn.Hardswish, nn.Hardsigmoid, nn.LeakyReLU, nn.ELU,
    nn.Mish, nn.Sigmoid, nn.Tanh, nn.Hardtanh, nn.Softplus, nn.Identity, nn.Dropout, nn.Dropout2d,
}  # fmt: skip
# They act on each channel's picture by itself; channels are dimension 1.
SPATIAL = {
    nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.Upsample,
    nn.ZeroPad2d, nn.ReflectionPad2d,
    F.max_pool2d, F.avg_pool2d, F.adaptive_avg_pool2d, F.adaptive_max_pool2d, F.interpolate,
    torch.max_pool2d, torch.adaptive_avg_pool1d,
}  # fmt: skip
# Values depend on all elements along a dimension, which so must keep its size.
ALONG_A_DIMENSION = {F.softmax, torch.softmax, F.normalize, F.log_softmax, "softmax"}
REDUCTIONS = {torch.mean, torch.sum, torch.amax, "mean", "sum", "amax"}
PRODUCTS = {torch.matmul, torch.bmm, operator.matmul, "matmul", "bmm"}


def rule_of(node: Node, modules: dict[str, nn.Module]) -> Rule:
    """The rule for a node that calls something."""
    target: Any = node.target
    if node.op == "call_module":
        target = type(modules[str(node.target)])
        for kind, rule in LAYERS.items():
            if issubclass(target, kind):
                return rule
    return RULES.get(target, _opaque)


def unlabelled(value: object) -> Any:  # noqa: ANN401
    """Labels of a result that stands for no channel: 0, or None where it is not a tensor."""
    if isinstance(value, torch.Tensor):
        return torch.zeros(value.shape, dtype=torch.long)
    if isinstance(value, tuple | list) and any(isinstance(v, torch.Tensor) for v in value):
        return tuple(unlabelled(v) for v in value)
    return None


def _opaque(run: Labeller, node: Node, value: object) -> Any:  # noqa: ANN401
    return run.opaque(node, value) if run.tensors((node.args, node.kwargs)) else unlabelled(value)


def _sizes(run: Labeller, node: Node, value: object) -> Any:  # noqa: ANN401
    return _opaque(run, node, value) if isinstance(value, torch.Tensor) else None


def _move(run: Labeller, node: Node, value: object) -> Any:  # noqa: ANN401, ARG001
    first, rest = run.labels_in(node.args[0]), run.values_in(node.args[1:])
    kwargs = run.values_in(node.kwargs)
    if node.op == "call_module":
        return run.submodules[str(node.target)](first)
    if node.op == "call_method":
        return getattr(first, str(node.target))(*rest, **kwargs)
    assert callable(node.target)
    return node.target(first, *rest, **kwargs)


def _getitem(run: Labeller, node: Node, value: object) -> Any:  # noqa: ANN401
    labels, index = run.labels_in(node.args[0]), run.values_in(node.args[1])
    if not isinstance(labels, torch.Tensor):
        return labels[index] if isinstance(value, torch.Tensor) else None
    run.ties.steady.append((labels, _touched(labels, index)))
    return labels[index]


def _touched(labels: Tensor, index: object) -> tuple[int, ...]:
    """Dimensions of which an index takes a part."""
    parts = index if isinstance(index, tuple) else (index,)
    after = [*parts[parts.index(...) + 1 :]] if ... in parts else []
    before = parts[: parts.index(...)] if ... in parts else parts
    used = len([p for p in (*before, *after) if p is not None])
    whole = [slice(None)] * (labels.dim() - used)
    places = [p for p in (*before, *whole, *after) if p is not None]
    return tuple(d for d, part in enumerate(places) if part != slice(None))


def _roll(run: Labeller, node: Node, value: object) -> Any:  # noqa: ANN401
    labels = run.labels_in(node.args[0])
    dims = node.kwargs.get("dims", node.args[2] if len(node.args) > 2 else None)
    if not isinstance(dims, tuple | list | int):
        return _opaque(run, node, value)
    run.ties.steady.append((labels, _dims(dims, labels)))
    return labels


def _pad(run: Labeller, node: Node, value: Tensor) -> Any:  # noqa: ANN401
    labels, widths = run.labels_in(node.args[0]), run.values_in(node.args[1])
    padded = tuple(labels.dim() - 1 - i // 2 for i, width in enumerate(widths) if width)
    run.ties.steady.append((labels, padded))
    for dim in padded:
        labels = labels.narrow(dim, 0, 1)
    return labels.expand(value.shape)


def _elementwise(run: Labeller, node: Node, value: Tensor) -> Any:  # noqa: ANN401
    operands = run.tensors((node.args, node.kwargs))
    named = [labels for labels in operands if bool(labels.any())]
    if not named or not isinstance(value, torch.Tensor):
        return unlabelled(value)
    result = named[0].expand(value.shape)
    for other in named[1:]:
        run.ties.tie(result, other)
    for other in operands:
        if not bool(other.any()):
            offset = value.dim() - other.dim()
            full = tuple(d + offset for d, size in enumerate(other.shape) if size > 1)
            run.ties.steady.append((result, full))
    return result


def _spatial(run: Labeller, node: Node, value: Tensor) -> Any:  # noqa: ANN401
    labels = run.labels_in(node.args[0])
    if labels.dim() < 3:
        return _opaque(run, node, value)
    columns = run.ties.columns(labels, 1)
    return columns.view(-1, *[1] * (labels.dim() - 2)).expand(value.shape)


def _along(run: Labeller, node: Node, value: object) -> Any:  # noqa: ANN401
    labels, dims = run.labels_in(node.args[0]), _asked_dims(node)
    if dims is None:
        return _opaque(run, node, value)
    run.ties.steady.append((labels, _dims(dims, labels)))
    return labels


def _reduction(run: Labeller, node: Node, value: Tensor) -> Any:  # noqa: ANN401
    labels, dims = run.labels_in(node.args[0]), _asked_dims(node)
    if dims is None:
        return _opaque(run, node, value)
    run.ties.steady.append((labels, _dims(dims, labels)))
    for dim in _dims(dims, labels):
        labels = labels.narrow(dim, 0, 1)
    return labels.reshape(value.shape)


def _asked_dims(node: Node) -> Any:  # noqa: ANN401
    dims = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else None)
    return dims if isinstance(dims, int | tuple | list) else None


def _dims(dims: Any, labels: Tensor) -> tuple[int, ...]:  # noqa: ANN401
    every = [dims] if isinstance(dims, int) else dims
    return tuple(d % labels.dim() for d in every)


def _product(run: Labeller, node: Node, value: Tensor) -> Any:  # noqa: ANN401
    """A batch of products leaves as a whole: one matrix of it is an attention head."""
    return _contraction(run, value, run.tensors(node.args[:2]))


def _attention(run: Labeller, node: Node, value: Tensor) -> Any:  # noqa: ANN401
    operands = run.tensors(node.args[:3])
    extra = run.tensors((node.args[3:], node.kwargs))
    if len(operands) != 3 or extra:
        return _opaque(run, node, value)
    return _contraction(run, value, operands)


def _contraction(run: Labeller, value: Tensor, operands: list[Tensor]) -> Any:  # noqa: ANN401
    if not any(bool(labels.any()) for labels in operands):
        return unlabelled(value)
    batch = value.shape[:-2]
    flat = [o.expand(*batch, *o.shape[-2:]).reshape(*batch, -1) for o in operands]
    for labels in flat:
        run.ties.tie(labels, flat[0][..., :1])
    return flat[0][..., :1, None].expand(value.shape)


def _einsum(run: Labeller, node: Node, value: Tensor) -> Any:  # noqa: ANN401
    equation = str(node.args[0]).replace(" ", "")
    operands = run.tensors(node.args[1:])
    inputs, _, output = equation.partition("->")
    names = inputs.split(",")
    batch = [c for c in output if all(c in name for name in names)]
    plain = len(names) == len(operands) == 2 and output.startswith("".join(batch))
    if not plain or "." in equation or not all(n.startswith("".join(batch)) for n in names):
        return _opaque(run, node, value)
    depth = len(batch)
    matrices = [o.flatten(depth).unsqueeze(-1) for o in operands]
    target = value.flatten(depth).unsqueeze(-1)
    return _contraction(run, target, matrices).reshape(value.shape)


def _linear(run: Labeller, node: Node, value: Tensor) -> Any:  # noqa: ANN401
    outputs = _weighted(run, str(node.target), run.labels_in(node.args[0]), -1, value.shape[-1])
    return outputs.expand(value.shape)


def _convolution(run: Labeller, node: Node, value: Tensor) -> Any:  # noqa: ANN401
    name = str(node.target)
    layer: Any = run.submodules[name]
    labels = run.labels_in(node.args[0])
    single = [1] * (value.dim() - 2)
    if layer.transposed or value.dim() != layer.weight.dim():
        return _opaque(run, node, value)
    if 1 < layer.groups == layer.in_channels == layer.out_channels:
        columns = _channelwise(run, name, labels, 1)
        return columns.view(-1, *single).expand(value.shape)
    outputs = _weighted(run, name, labels, 1, layer.out_channels)
    for columns in (run.reads[name], outputs) if layer.groups > 1 else ():
        runs = columns.view(layer.groups, -1)
        run.ties.tie(runs, runs[:1])
    return outputs.view(-1, *single).expand(value.shape)


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


def _batch_norm(run: Labeller, node: Node, value: Tensor) -> Any:  # noqa: ANN401, ARG001
    labels: Tensor = run.labels_in(node.args[0])
    _channelwise(run, str(node.target), labels, 1)
    return labels


def _layer_norm(run: Labeller, node: Node, value: Tensor) -> Any:  # noqa: ANN401
    layer: Any = run.submodules[str(node.target)]
    labels: Tensor = run.labels_in(node.args[0])
    if len(layer.normalized_shape) != 1:
        return _opaque(run, node, value)
    _channelwise(run, str(node.target), labels, -1)
    return labels


LAYERS: dict[type[nn.Module], Rule] = {
    nn.Linear: _linear,
    _ConvNd: _convolution,
    _BatchNorm: _batch_norm,
    nn.LayerNorm: _layer_norm,
}
RULES: dict[Any, Rule] = {
    **dict.fromkeys(MOVES, _move),
    **dict.fromkeys(ELEMENTWISE, _elementwise),
    **dict.fromkeys(SPATIAL, _spatial),
    **dict.fromkeys(ALONG_A_DIMENSION, _along),
    **dict.fromkeys(REDUCTIONS, _reduction),
    **dict.fromkeys(PRODUCTS, _product),
    **dict.fromkeys([getattr, operator.eq, torch._assert, "size", "dim"], _sizes),
    operator.getitem: _getitem,
    F.pad: _pad,
    torch.roll: _roll,
    F.scaled_dot_product_attention: _attention,
    torch.functional.einsum: _einsum,
    torch.einsum: _einsum,
}
