"""Rules of products of tensors: a matrix is an attention head, its sums run over what stays."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from edgespiral.prune.engines.flow.labels import opaque, unlabelled, varying
from edgespiral.prune.engines.flow.rules.moves import scales

if TYPE_CHECKING:
    from torch import Tensor
    from torch.fx import Node

    from edgespiral.prune.engines.flow.labels import Labeller

SUMMED = "are summed over in a product"


def product(run: Labeller, node: Node, value: Tensor) -> Any:  # noqa: ANN401
    """A batch of products leaves as a whole: one matrix of it is an attention head."""
    operands = [run.labels_in(a) for a in (*node.args, *node.kwargs.values())]
    if len(operands) != 2 or any(o.dim() < 2 for o in operands):
        return opaque(run, node, value)
    for (weights, values), dim in zip((operands, operands[::-1]), (-2, -1), strict=True):
        place = 0 if dim == -2 else 1
        if _mixes_positions(node.args[place:][:1], weights, values, dim):
            run.ties.freeze(weights, "weigh all of what they are multiplied with")
            wide = values.expand(*value.shape[:-2], *values.shape[-2:])
            return _summed(run, wide, dim).expand(value.shape)
    return _multiplied(run, value, operands[0], operands[1])


def _mixes_positions(weights_node: Any, weights: Tensor, values: Tensor, dim: int) -> bool:  # noqa: ANN401
    """Whether one matrix of the model's own, as a graph's edges, mixes what is not channels."""
    is_own = [getattr(node, "op", "") for node in weights_node] == ["get_attr"]
    differ = varying(values)
    is_one = weights.numel() == weights.shape[-1] * weights.shape[-2]
    return is_own and is_one and bool(differ) and dim % values.dim() not in differ


def _multiplied(run: Labeller, value: Tensor, left: Tensor, right: Tensor) -> Any:  # noqa: ANN401
    """(..., I, K) by (..., K, J): what is labelled on one side only may lose rows or columns."""
    if not bool(left.any()) and not bool(right.any()):
        return unlabelled(value)
    batch = value.shape[:-2]
    wide = [o.expand(*batch, *o.shape[-2:]) for o in (left, right)]
    if _is_one_unit(right):
        run.ties.freeze(right, "weigh all of what they are multiplied with")
        return _summed(run, wide[0], -1).expand(value.shape)
    if _is_one_unit(left):
        run.ties.freeze(left, "weigh all of what they are multiplied with")
        return _summed(run, wide[1], -2).expand(value.shape)
    return _contraction(run, value, wide)


def _is_one_unit(labels: Tensor) -> bool:
    """Whether all of it is one channel or none: there is nothing to choose from."""
    return bool((labels == labels.flatten()[0]).all())


def _summed(run: Labeller, labels: Tensor, dim: int) -> Tensor:
    run.ties.hold_steady(labels, (dim % labels.dim(),), SUMMED)
    return labels.narrow(dim, 0, 1)


def attention(run: Labeller, node: Node, value: Tensor) -> Any:  # noqa: ANN401
    """Scores of queries and keys, with a mask that may differ by head, times values."""
    names = ("query", "key", "value", "attn_mask")
    named: dict[str, Any] = dict(zip(names, node.args, strict=False)) | node.kwargs
    query, key, values = (run.labels_in(named[name]) for name in names[:3])
    if named.get("enable_gqa"):
        return opaque(run, node, value)
    scores = torch.empty(*value.shape[:-1], key.shape[-2])
    parts = [query.expand(*value.shape[:-2], *query.shape[-2:]), key.transpose(-2, -1)]
    score_labels = _multiplied(run, scores, *parts)
    for mask in run.tensors(named.get("attn_mask")):
        _add_mask(run, score_labels, mask)
    return _multiplied(run, value, score_labels, values)


def _add_mask(run: Labeller, scores: Tensor, mask: Tensor) -> None:
    if scales(mask, [scores]):
        run.ties.freeze(mask, "are the same for every head")
    elif bool(mask.any()):
        run.ties.tie(scores, mask)
    else:
        offset = scores.dim() - mask.dim()
        sized = [d + offset for d, size in enumerate(mask.shape) if size > 1]
        run.ties.hold_steady(scores, sized, "meet a mask")


def _contraction(run: Labeller, value: Tensor, operands: list[Tensor]) -> Any:  # noqa: ANN401
    if not any(bool(labels.any()) for labels in operands):
        return unlabelled(value)
    batch = value.shape[:-2]
    flat = [o.expand(*batch, *o.shape[-2:]).reshape(*batch, -1) for o in operands]
    for labels in flat:
        run.ties.tie(labels, flat[0][..., :1])
    return flat[0][..., :1, None].expand(value.shape)


def einsum(run: Labeller, node: Node, value: Tensor) -> Any:  # noqa: ANN401
    """An equation of two operands is a batch of products, whatever the order of its letters."""
    equation = str(node.args[0]).replace(" ", "")
    operand_nodes = node.args[1] if isinstance(node.args[1], tuple | list) else node.args[1:]
    operands = [run.labels_in(a) for a in operand_nodes]
    inputs, _, output = equation.partition("->")
    names = inputs.split(",")
    letters = "".join(names)
    repeats = any(len(set(name)) < len(name) for name in (*names, output))
    if len(names) != 2 or len(operands) != 2 or "." in letters or not output or repeats:
        return opaque(run, node, value)
    return _as_product(run, value, operands, (names[0], names[1], output))


def _as_product(
    run: Labeller, value: Tensor, operands: list[Tensor], letters: tuple[str, str, str]
) -> Any:  # noqa: ANN401
    """Labels of the result of `left,right->output` through those of a batched product."""
    left, right, output = letters
    batch = [c for c in output if c in left and c in right]
    rows = [c for c in left if c in output and c not in batch]
    columns = [c for c in right if c in output and c not in batch]
    summed = [c for c in left if c not in output]
    if sorted(summed) != sorted(c for c in right if c not in output):
        return run.opaque_labels(operands, value)
    sizes = {
        c: size
        for name, labels in zip((left, right), operands, strict=True)
        for c, size in zip(name, labels.shape, strict=True)
    }
    size = [math.prod(sizes[c] for c in part) for part in (rows, summed, columns)]
    first = _ordered(operands[0], left, [*batch, *rows, *summed]).reshape(
        *(sizes[c] for c in batch), size[0], size[1]
    )
    second = _ordered(operands[1], right, [*batch, *summed, *columns]).reshape(
        *(sizes[c] for c in batch), size[1], size[2]
    )
    flat = torch.empty(*(sizes[c] for c in batch), size[0], size[2])
    labels = _multiplied(run, flat, first, second)
    whole = labels.reshape([sizes[c] for c in (*batch, *rows, *columns)])
    ordered: Tensor = _ordered(whole, "".join((*batch, *rows, *columns)), list(output))
    return ordered


def _ordered(labels: Tensor, letters: str, wanted: list[str]) -> Tensor:
    return labels.permute([letters.index(c) for c in wanted])
