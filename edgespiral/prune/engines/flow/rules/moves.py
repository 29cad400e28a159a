"""Rules of operations that only move elements, or take some of them: labels move likewise."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from edgespiral.prune.engines.flow.labels import opaque, unlabelled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor
    from torch.fx import Node

    from edgespiral.prune.engines.flow.labels import Labeller

PICKED, TURNED = ("values", "indices"), ("T", "mT", "H", "mH", "data")
APART = "are taken apart one by one"


def first(node: Node) -> Any:  # noqa: ANN401
    """What a call works on, given by place or by name."""
    if node.args:
        return node.args[0]
    return next((node.kwargs[n] for n in ("input", "tensors", "x") if n in node.kwargs), None)


def dims_of(dims: Any, labels: Tensor) -> tuple[int, ...]:  # noqa: ANN401
    """Dimensions as a call states them, counted from the first."""
    every = [dims] if isinstance(dims, int) else dims
    return tuple(d % labels.dim() for d in every)


def move(run: Labeller, node: Node, value: object) -> Any:  # noqa: ANN401, ARG001
    """The operation itself, on labels."""
    labels, rest = run.labels_in(first(node)), run.values_in(node.args[1:])
    kwargs = run.values_in(node.kwargs) if node.args else {
        k: run.values_in(v) for k, v in node.kwargs.items() if v is not first(node)
    }  # fmt: skip
    if node.op == "call_module":
        return run.submodules[str(node.target)](labels)
    if node.op == "call_method":
        method = getattr(labels, str(node.target))
        return method(*rest, **kwargs) if callable(method) else method
    assert callable(node.target)
    return node.target(labels, *rest, **kwargs)


def attribute(run: Labeller, node: Node, value: object) -> Any:  # noqa: ANN401
    """A part of what was found along a dimension, a turned tensor, or a size."""
    labels, name = run.labels_in(node.args[0]), str(node.args[1])
    if not isinstance(value, torch.Tensor):
        return None
    if isinstance(labels, tuple) and name in PICKED:
        return labels[PICKED.index(name)]
    if isinstance(labels, torch.Tensor) and name in TURNED:
        return getattr(labels, name)
    return opaque(run, node, value)


def like(run: Labeller, node: Node, value: Tensor) -> Any:  # noqa: ANN401
    """The first in the shape of the second."""
    labels = run.labels_in(first(node))
    same = math.prod(labels.shape) == math.prod(value.shape)
    return labels.reshape(value.shape) if same else labels.expand(value.shape)


def parts(run: Labeller, node: Node, value: object) -> Any:  # noqa: ANN401
    """Runs of a dimension; the cutter states their new sizes."""
    moved = move(run, node, value)
    if isinstance(moved, torch.Tensor):
        start, length = (run.values_in(a) for a in node.args[2:4]) if len(node.args) > 3 else (0, 0)
        dim = dims_of(run.values_in(node.args[1]), moved)[0]
        run.indices[node.name] = (*[slice(None)] * dim, slice(start, start + length))
    run.parts += [moved] if isinstance(moved, torch.Tensor) else moved
    return moved


def unbind(run: Labeller, node: Node, value: Sequence[Tensor]) -> Any:  # noqa: ANN401
    """Every element of a dimension by itself."""
    labels = run.labels_in(first(node))
    dim = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else 0)
    run.ties.hold_steady(labels, dims_of(dim, labels), APART, apart=True)
    return labels.unbind(dim) if len(value) else ()


def select(run: Labeller, node: Node, value: object) -> Any:  # noqa: ANN401
    """One element of a dimension."""
    labels, (dim, index) = run.labels_in(first(node)), run.values_in(node.args[1:3])
    if node.kwargs:
        return opaque(run, node, value)
    run.ties.hold_steady(labels, dims_of(dim, labels), APART, apart=True)
    return labels.select(dim, index)


def getitem(run: Labeller, node: Node, value: object) -> Any:  # noqa: ANN401
    """Runs of a dimension may lose channels; single elements and every second one may not."""
    labels, index = run.labels_in(node.args[0]), run.values_in(node.args[1])
    if not isinstance(labels, torch.Tensor):
        if not isinstance(labels, tuple | list):
            return unlabelled(value)
        return labels[index] if isinstance(value, torch.Tensor | tuple) else None
    places = _places(labels, index)
    run.ties.hold_steady(
        labels, [d for d, p in enumerate(places) if not _is_run(p)], APART, apart=True
    )
    run.indices[node.name] = places
    if any(p != slice(None) for p in places if isinstance(p, slice)):
        run.parts.append(labels[index])
    return labels[index]


def _places(labels: Tensor, index: object) -> tuple[Any, ...]:
    """What an index takes of each dimension."""
    indices = index if isinstance(index, tuple) else (index,)
    marks = [place for place, part in enumerate(indices) if part is Ellipsis]
    split = marks[0] if marks else len(indices)
    before, after = indices[:split], indices[split + 1 :]
    used = sum(_covered(part) for part in (*before, *after))
    whole = [slice(None)] * (labels.dim() - used)
    spread = [q for p in before for q in [p] * _covered(p)]
    return (*spread, *whole, *(q for p in after for q in [p] * _covered(p)))


def _covered(part: object) -> int:
    if isinstance(part, torch.Tensor) and part.dtype == torch.bool:
        return part.dim()
    return 0 if part is None else 1


def _is_run(part: object) -> bool:
    return isinstance(part, slice) and part.step in (None, 1)


def roll(run: Labeller, node: Node, value: object) -> Any:  # noqa: ANN401
    """What leaves at one end comes back at the other."""
    labels = run.labels_in(first(node))
    dims = node.kwargs.get("dims", node.args[2] if len(node.args) > 2 else None)
    if not isinstance(dims, tuple | list | int):
        return opaque(run, node, value)
    run.ties.hold_steady(labels, dims_of(dims, labels), "are rolled")
    return labels


def pad(run: Labeller, node: Node, value: Tensor) -> Any:  # noqa: ANN401
    """Padding belongs to the channel that it is next to."""
    labels = run.labels_in(first(node))
    widths: Any = run.values_in(
        node.kwargs.get("pad", node.args[1] if len(node.args) > 1 else None)
    )
    if not isinstance(widths, tuple | list):
        return opaque(run, node, value)
    padded = tuple({labels.dim() - 1 - i // 2 for i, width in enumerate(widths) if width})
    run.ties.hold_steady(labels, padded, "are padded")
    for dim in padded:
        labels = labels.narrow(dim, 0, 1)
    return labels.expand(value.shape)


def glu(run: Labeller, node: Node, value: Tensor) -> Any:  # noqa: ANN401, ARG001
    """One half gates the other, so they leave in pairs."""
    labels = run.labels_in(first(node))
    if node.op == "call_module":
        dim: Any = run.submodules[str(node.target)].dim
    else:
        dim = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else -1)
    left, right = labels.chunk(2, dim)
    run.ties.tie(left, right)
    return left


def pixel_shuffle(run: Labeller, node: Node, value: Tensor) -> Any:  # noqa: ANN401
    """The channels that become one channel's pixels leave together."""
    labels = run.labels_in(first(node))
    channels = value.shape[-3]
    return _gathered(run, labels, channels, value, labels.dim() - 3)


def fold(run: Labeller, node: Node, value: Tensor) -> Any:  # noqa: ANN401
    """The channels that become one channel's patches leave together."""
    labels = run.labels_in(first(node))
    return (
        opaque(run, node, value)
        if labels.dim() < 3
        else _gathered(run, labels, value.shape[1], value, 1)
    )


def _gathered(run: Labeller, labels: Tensor, channels: int, value: Tensor, dim: int) -> Tensor:
    runs = run.ties.columns(labels, dim).view(channels, -1)
    run.ties.tie(runs, runs[:, :1])
    gathered: Tensor = spread(runs[:, 0], value, dim)
    return gathered


def unfold(run: Labeller, node: Node, value: Tensor) -> Any:  # noqa: ANN401
    """`F.unfold` makes channels of each channel's patches; a tensor's own takes windows."""
    labels = run.labels_in(first(node))
    if node.op == "call_method":
        dim, size, step = run.values_in(node.args[1:4])
        run.ties.hold_steady(labels, dims_of(dim, labels), "fall into windows")
        return labels.unfold(dim, size, step)
    if labels.dim() < 3:
        return opaque(run, node, value)
    columns = run.ties.columns(labels, 1)
    return spread(columns.repeat_interleave(value.shape[1] // len(columns)), value, 1)


def spread(columns: Tensor, values: Any, dim: int) -> Any:  # noqa: ANN401
    """(size,) labels along one dimension of a result, or of each tensor of it."""
    if not isinstance(values, torch.Tensor):
        return tuple(spread(columns, value, dim) for value in values)
    view = [1] * values.dim()
    view[dim] = len(columns)
    return columns.view(view).expand(values.shape)


def scales(operand: Tensor, operands: Sequence[Tensor]) -> bool:
    """Whether a labelled operand has one element where the channels of another lie."""
    if not bool(operand.any()):
        return False
    for other in operands:
        for back in range(1, other.dim() + 1):
            is_single = back > operand.dim() or operand.shape[-back] == 1
            if is_single and other.shape[-back] > 1:
                here = other.movedim(-back, 0)
                if bool((here != here[0]).any()):
                    return True
    return False
