"""What each operation does to labels. An operation that is not listed here freezes its inputs."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional as F

from edgespiral.prune.absent import mark_of
from edgespiral.prune.engines.flow.labels import Scaling, opaque, unlabelled, varying
from edgespiral.prune.engines.flow.rules import layers, moves, products

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from torch import Tensor
    from torch.fx import Node

    from edgespiral.prune.engines.flow.labels import Labeller, Rule

# Why channels stay that an operation takes in together.
SUMMED_UP, COMPARED = "are summed up", "are compared with each other"
NORMALISED = "are normalised over"
TAKEN_TOGETHER = (SUMMED_UP, COMPARED, NORMALISED)
# Each by its name in torch, torch.nn.functional, operator, as a method and as a method in place.
MOVES = """
    cat concat concatenate stack hstack vstack dstack flatten ravel reshape permute transpose
    swapaxes swapdims unsqueeze squeeze movedim moveaxis index_select view contiguous expand
    broadcast_to unflatten clone detach flip t mT T H tile repeat repeat_interleave channel_shuffle
    pixel_unshuffle atleast_1d atleast_2d atleast_3d diagonal
"""
PARTS = "chunk split split_with_sizes tensor_split unsafe_chunk unsafe_split narrow"
# Elements by themselves; sizes or the type of the second are all that is read of it.
LIKE = "expand_as view_as reshape_as type_as to"
ELEMENTWISE = """
    abs absolute acos acosh add addcdiv addcmul alpha_dropout asin asinh atan atan2 atanh bernoulli
    bool ceil celu clamp clamp_max clamp_min clip copysign cos cosh div divide double dropout
    dropout1d dropout2d dropout3d elu empty_like eq erf erfc exp exp2 expm1 feature_alpha_dropout
    feature_dropout float floor floor_divide floordiv fmax fmin fmod full_like ge gelu gt half
    hardshrink hardsigmoid hardswish hardtanh heaviside hypot iadd imul int invert isfinite isinf
    isnan isub itruediv le leaky_relu lerp log log10 log1p log2 logaddexp logical_and logical_not
    logical_or logical_xor logit logsigmoid long lt masked_fill maximum minimum mish mod mul
    multiply nan_to_num ne neg negative not_equal ones_like pos positive pow reciprocal relu relu6
    remainder rms round rrelu rsqrt rsub selu sigmoid sign silu sin sinc sinh softplus softshrink
    softsign sqrt square sub subtract tan tanh tanhshrink threshold true_divide truediv trunc
    where zeros_like bfloat16 ipow and_ or_ xor bitwise_and bitwise_or bitwise_not bitwise_xor
"""
ELEMENTWISE_LAYERS = """
    ReLU ReLU6 GELU SiLU Hardswish Hardsigmoid Hardshrink LeakyReLU ELU CELU SELU Mish Sigmoid Tanh
    Tanhshrink Hardtanh Softplus Softshrink Softsign LogSigmoid Threshold RReLU Dropout
    Dropout1d Dropout2d Dropout3d AlphaDropout FeatureAlphaDropout
"""
# They act on each channel's picture by itself; channels are dimension 1.
SPATIAL = """
    max_pool1d max_pool2d max_pool3d avg_pool1d avg_pool2d avg_pool3d lp_pool1d lp_pool2d lp_pool3d
    adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d
    adaptive_max_pool2d adaptive_max_pool3d interpolate upsample grid_sample
"""
SPATIAL_LAYERS = """
    MaxPool1d MaxPool2d MaxPool3d AvgPool1d AvgPool2d AvgPool3d LPPool1d LPPool2d LPPool3d
    AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveAvgPool3d AdaptiveMaxPool1d AdaptiveMaxPool2d
    AdaptiveMaxPool3d Upsample UpsamplingNearest2d UpsamplingBilinear2d ZeroPad1d ZeroPad2d
    ZeroPad3d ConstantPad1d ConstantPad2d ConstantPad3d ReflectionPad1d ReflectionPad2d
    ReflectionPad3d ReplicationPad1d ReplicationPad2d ReplicationPad3d CircularPad1d CircularPad2d
    CircularPad3d
"""
# Values depend on all elements along a dimension, which so must keep its size.
ALONG = "softmax log_softmax softmin normalize cumsum cumprod cummax cummin gumbel_softmax"
ALONG_LAYERS = "Softmax LogSoftmax Softmin Softmax2d"
REDUCTIONS = """
    mean sum prod std var logsumexp norm vector_norm nansum nanmean count_nonzero
"""
COMPARISONS = "amax amin argmax argmin all any"
PICKS = "max min median mode topk sort kthvalue aminmax var_mean std_mean"
SIZES = "size dim numel getattr shape eq _assert is_floating_point ndim ndimension len stride"
PRODUCTS = "matmul bmm mm baddbmm"


def rule_of(node: Node, modules: dict[str, nn.Module]) -> Rule:
    """The rule for a node that calls something."""
    target: Any = node.target
    if node.op == "call_module":
        target = type(modules[str(node.target)])
        for kind, rule in layers.LAYERS.items():
            if issubclass(target, kind):
                return rule
    if target is operator.eq:
        return _sizes_or(RULES[target])
    return RULES.get(target, opaque)


def _sizes_or(rule: Rule) -> Rule:
    """`rule` where a tensor comes out, else a size, which stands for no channel."""

    def apply(run: Labeller, node: Node, value: object) -> Any:  # noqa: ANN401
        return rule(run, node, value) if isinstance(value, torch.Tensor) else None

    return apply


def _elementwise(run: Labeller, node: Node, value: Tensor) -> Any:  # noqa: ANN401
    operands = run.tensors((node.args, node.kwargs))
    if not isinstance(value, torch.Tensor):
        return unlabelled(value)
    scales = _scaling(operands)
    for labels in scales:
        run.ties.scaling.append(Scaling(labels, operands, run.ties.here))
    rest = [operand for operand in operands if not any(operand is other for other in scales)]
    named = [labels for labels in rest if bool(labels.any())]
    if not named:
        return unlabelled(value)
    result = named[0].expand(value.shape)
    for other in named[1:]:
        run.ties.tie(result, other)
    for other in rest:
        if not bool(other.any()):
            offset = value.dim() - other.dim()
            full = tuple(d + offset for d, size in enumerate(other.shape) if size > 1)
            run.ties.hold_steady(result, full, "meet the input or a constant")
    return result


def _scaling(operands: Sequence[Tensor]) -> list[Tensor]:
    """Those that have one element where another's channels lie.

    Of an outer product, in which all do, the largest keeps its channels.
    """
    labelled = [operand for operand in operands if bool(operand.any())]
    scaling = [operand for operand in labelled if moves.scales(operand, operands)]
    if scaling and len(scaling) == len(labelled):
        largest = max(scaling, key=torch.numel)
        return [operand for operand in scaling if operand is not largest]
    return scaling


def _spatial(run: Labeller, node: Node, value: object) -> Any:  # noqa: ANN401
    labels = run.labels_in(moves.first(node))
    if not isinstance(labels, torch.Tensor) or labels.dim() < 3 or len(run.tensors(node.args)) > 2:
        return opaque(run, node, value)
    columns = run.ties.columns(labels, 1)
    return moves.spread(columns, value, 1)


def _along(run: Labeller, node: Node, value: object) -> Any:  # noqa: ANN401
    labels, dims = run.labels_in(moves.first(node)), _asked_dims(run, node)
    if dims is None:
        return opaque(run, node, value)
    _taken_together(run, node, labels, moves.dims_of(dims, labels), NORMALISED)
    return labels if isinstance(value, torch.Tensor) else tuple(labels for _ in value)  # type: ignore[attr-defined]


def _reduction(run: Labeller, node: Node, value: Tensor) -> Any:  # noqa: ANN401
    return _reduced(run, node, value, SUMMED_UP)


def _comparison(run: Labeller, node: Node, value: Tensor) -> Any:  # noqa: ANN401
    return _reduced(run, node, value, COMPARED)


def _reduced(run: Labeller, node: Node, value: object, why: str) -> Any:  # noqa: ANN401
    """One element, or several of a kind such as where it was found, for each run of dimensions."""
    labels, dims = run.labels_in(moves.first(node)), _asked_dims(run, node)
    results = value if isinstance(value, tuple) else (value,)
    if dims is None or not all(isinstance(result, torch.Tensor) for result in results):
        return opaque(run, node, value)
    reduced = moves.dims_of(dims, labels)
    if _taken_together(run, node, labels, reduced, why):
        return unlabelled(value)
    for dim in reduced:
        labels = labels.narrow(dim, 0, 1)
    if not isinstance(value, tuple):
        return labels.reshape(results[0].shape)
    narrowed = labels if labels.dim() == results[0].dim() else labels.squeeze(reduced)
    return tuple(narrowed.expand(result.shape) for result in results)


def _taken_together(
    run: Labeller, node: Node, labels: Tensor, dims: Sequence[int], why: str
) -> bool:
    """Hold what lies along `dims`, but for channels that a mark in front lets go; is there one?"""
    _tie_paths(run, labels, dims)
    run.reduced[node.name] = (labels, tuple(dims))
    source = moves.first(node)
    layer = run.submodules.get(str(source.target)) if source.op == "call_module" else None
    absent = mark_of(layer)
    held = [dim for dim in dims if absent is None or dim != absent.dim]
    run.ties.hold_steady(labels, held, why)
    return len(held) < len(dims)


def _tie_paths(run: Labeller, labels: Tensor, dims: Sequence[int]) -> None:
    """Where whole sets of channels are stacked along a dimension, they leave together there."""
    differ = varying(labels)
    if set(differ) - set(dims):
        for dim in set(differ) & set(dims):
            run.ties.tie(labels, labels.narrow(dim, 0, 1))


def _pick(run: Labeller, node: Node, value: object) -> Any:  # noqa: ANN401
    """Of two tensors the larger, or what is found along a dimension, with where it was."""
    if isinstance(value, torch.Tensor) and len(node.all_input_nodes) > 1:
        return _elementwise(run, node, value)
    if not isinstance(value, tuple):
        return opaque(run, node, value)
    return _reduced(run, node, value, COMPARED)


# Where `dim` stands among the arguments, and what it is when left out.
DIM_PLACES = {"normalize": (2, 1), "norm": (2, None), "vector_norm": (2, None), "topk": (2, -1),
              "sort": (1, -1), "kthvalue": (2, -1), "median": (1, None), "gumbel_softmax": (4, -1),
              "mode": (1, -1)}  # fmt: skip


def _asked_dims(run: Labeller, node: Node) -> Any:  # noqa: ANN401
    if node.op == "call_module":
        layer = run.submodules[str(node.target)]
        return getattr(layer, "dim", 1 if isinstance(layer, nn.Softmax2d) else None)
    name = getattr(node.target, "__name__", str(node.target)).lstrip("_")
    place, default = DIM_PLACES.get(name, (1, None))
    dims_argument = run.values_in(node.args[place]) if len(node.args) > place else default
    dims = run.values_in(node.kwargs.get("dim", node.kwargs.get("axis", dims_argument)))
    whole = isinstance(dims, int | tuple | list) and not isinstance(dims, bool)
    return dims if whole and dims != () else None


def _named(names: str, rule: Rule) -> Iterator[tuple[Any, Rule]]:
    """Every function and method that goes by one of `names`, with its rule."""
    for name in names.split():
        places = (torch, F, torch.linalg, torch.Tensor, torch._C._nn, torch.special)
        owned = [getattr(place, n, None) for place in places for n in (name, f"{name}_")]
        yield from ((function, rule) for function in owned if callable(function))
        if callable(own := getattr(operator, name, None)):
            yield own, rule
        yield from ((method, rule) for method in (name, f"{name}_"))


def _of_layers(names: str, rule: Rule) -> Iterable[tuple[Any, Rule]]:
    return ((getattr(nn, name), rule) for name in names.split() if hasattr(nn, name))


def _sizes(run: Labeller, node: Node, value: object) -> Any:  # noqa: ANN401
    return opaque(run, node, value) if isinstance(value, torch.Tensor) else None


def _nothing(run: Labeller, node: Node, value: object) -> Any:  # noqa: ANN401, ARG001
    """A new tensor of which only the sizes are another's."""
    return unlabelled(value)


RULES: dict[Any, Rule] = dict(
    [
        *_named(SIZES, _sizes),
        *_named(ELEMENTWISE, _elementwise),
        *_named(MOVES, moves.move),
        *_named(PARTS, moves.parts),
        *_named(LIKE, moves.like),
        *_named(SPATIAL, _spatial),
        *_named(ALONG, _along),
        *_named(REDUCTIONS, _reduction),
        *_named(COMPARISONS, _comparison),
        *_named(PICKS, _pick),
        *_named(PRODUCTS, products.product),
        *_named("unbind", moves.unbind),
        *_named("select", moves.select),
        *_named("new_zeros new_ones new_full new_empty new_tensor", _nothing),
        *_of_layers(ELEMENTWISE_LAYERS, _elementwise),
        *_of_layers(SPATIAL_LAYERS, _spatial),
        *_of_layers(ALONG_LAYERS, _along),
        *_of_layers("Flatten Unflatten PixelUnshuffle ChannelShuffle", moves.move),
        (torch.matmul, products.product),
        (operator.matmul, products.product),
        (getattr, moves.attribute),
        (operator.getitem, moves.getitem),
        *_named("pad", moves.pad),
        *_named("roll", moves.roll),
        *_named("glu", moves.glu),
        (nn.GLU, moves.glu),
        *_named("pixel_shuffle", moves.pixel_shuffle),
        (nn.PixelShuffle, moves.pixel_shuffle),
        *_named("unfold", moves.unfold),
        (nn.Unfold, moves.unfold),
        *_named("fold", moves.fold),
        (nn.Fold, moves.fold),
        (F.scaled_dot_product_attention, products.attention),
        (torch.functional.einsum, products.einsum),
        (torch.einsum, products.einsum),
    ]
)
