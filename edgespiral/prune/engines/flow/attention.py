"""Attention written out as linear layers, reshapes and products, so that heads can be seen.

`multi_head` stands for `nn.MultiheadAttention` (Vaswani et al. 2017), the others for torchvision's
functions for windows (Liu et al. 2021, "Swin Transformer"; 2022, "Swin Transformer V2"), which take
the model, the node they replace (whose inputs know their shapes) and a tracer, and return a proxy.
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.fx
from torch import nn
from torch.fx.proxy import GraphAppendingTracer, Proxy
from torch.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor
    from torch.fx import GraphModule, Node

    Rewriter = Callable[[GraphModule, Node, GraphAppendingTracer], Any]

# What Swin adds to scores of positions that the cyclic shift made neighbours.
APART = -100.0
PARTS = ("qkv", "proj")
APART_PARTS = ("q_proj", "k_proj", "v_proj")
ARGUMENTS = (
    "input", "qkv_weight", "proj_weight", "relative_position_bias", "window_size", "num_heads",
    "shift_size", "attention_dropout", "dropout", "qkv_bias", "proj_bias", "logit_scale",
)  # fmt: skip


PADDING = "key_padding_mask"
MASKS = (PADDING, "attn_mask")
MULTI_HEAD = ("query", "key", "value", "key_padding_mask", "need_weights", "attn_mask")


def calls(model: GraphModule) -> dict[str, list[Node]]:
    """By path, the calls of attention layers that `multi_head` can write out, all of each layer.

    One that is called in another way, too, stays a layer.
    """
    found: dict[str, list[Node]] = {}
    for node in model.graph.nodes:
        if node.op == "call_module":
            found.setdefault(str(node.target), []).append(node)
    layers = {path: model.get_submodule(path) for path in found}
    return {
        path: found[path]
        for path, layer in layers.items()
        if isinstance(layer, nn.MultiheadAttention)
        and all(_is_plain(layer, node) for node in found[path])
    }


def _is_plain(layer: nn.MultiheadAttention, node: Node) -> bool:
    named = _named(node)
    shapes = [
        getattr(getattr(named.get(mask), "meta", {}).get("tensor_meta"), "shape", (0, 0))
        for mask in MASKS
    ]
    read = {user.args[-1] for user in node.users if user.users}
    is_unpacked = all(user.target is operator.getitem for user in node.users)
    return (
        layer.bias_k is None
        and not layer.add_zero_attn
        and all(len(shape) == 2 for shape in shapes)
        and not named.get("is_causal")
        and is_unpacked
        and read == {0}
        and all(isinstance(named.get(n), torch.fx.Node) for n in MULTI_HEAD[:3])
    )


def _named(node: Node) -> dict[str, Any]:
    return dict(zip(MULTI_HEAD, node.args, strict=False)) | node.kwargs


def multi_head(model: GraphModule, path: str, nodes: Sequence[Node]) -> None:
    """Put layers in place of an `nn.MultiheadAttention`, and operations in place of its calls.

    Args:
        model: whose graph it is, changed here.
        path: of the layer.
        nodes: all of its calls, of which the first item of the pair is read.
    """
    old = model.get_submodule(path)
    assert isinstance(old, nn.MultiheadAttention)
    together = old.in_proj_weight is not None and all(
        len({_named(node)[n] for n in MULTI_HEAD[:3]}) == 1 for node in nodes
    )
    parts = nn.Module()
    if together:
        parts.in_proj = _linear(old.in_proj_weight, old.in_proj_bias)
    else:
        _set_apart(parts, old)
    parts.out_proj = _linear(old.out_proj.weight, old.out_proj.bias)
    model.set_submodule(path, parts.eval())
    heads = _heads_together if together else _heads_apart
    for node in nodes:
        tracer = GraphAppendingTracer(model.graph)
        with model.graph.inserting_before(node):
            result = _attended(node, path, old, tracer, heads)
        result.node.meta = meta_of(next(user for user in node.users if user.users))
        for user in list(node.users):
            user.replace_all_uses_with(result.node)
            user.graph.erase_node(user)
        node.graph.erase_node(node)


def _attended(
    node: Node,
    path: str,
    old: nn.MultiheadAttention,
    tracer: GraphAppendingTracer,
    heads: Callable[..., list[Any]],
) -> Any:  # noqa: ANN401
    named = _named(node)
    sides = [_samples_first(named[n], old, tracer) for n in MULTI_HEAD[:3]]
    query, key, value = heads(tracer, path, sides, old)
    mask = _mask(named, tracer)
    attended: Any = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    length = named["query"].meta["tensor_meta"].shape[1 if old.batch_first else 0]
    merged = attended.transpose(1, 2).reshape(-1, length, old.embed_dim)
    result = call(tracer, f"{path}.out_proj", merged)
    return result if old.batch_first else result.transpose(0, 1)


def meta_of(node: Node) -> dict[str, Any]:
    """What is known of a node, its shape above all, for the one that takes its place.

    Whether tracing may enter it is the old node's alone.
    """
    return {key: value for key, value in node.meta.items() if key != "is_wrapped"}


def _samples_first(node: Node, layer: nn.MultiheadAttention, tracer: GraphAppendingTracer) -> Any:  # noqa: ANN401
    proxy: Any = Proxy(node, tracer)
    shape = node.meta["tensor_meta"].shape
    if layer.batch_first:
        return proxy, shape[1]
    return proxy.transpose(0, 1), shape[0]


def _heads_together(
    tracer: GraphAppendingTracer, path: str, sides: list[Any], old: nn.MultiheadAttention
) -> list[Any]:
    (inputs, length), heads = sides[0], old.num_heads
    qkv = call(tracer, f"{path}.in_proj", inputs)
    parted = qkv.reshape(-1, length, 3, heads, old.embed_dim // heads).permute(2, 0, 3, 1, 4)
    return [parted[0], parted[1], parted[2]]


def _heads_apart(
    tracer: GraphAppendingTracer, path: str, sides: list[Any], old: nn.MultiheadAttention
) -> list[Any]:
    shape = old.num_heads, old.embed_dim // old.num_heads
    return [
        call(tracer, f"{path}.{name}", inputs).reshape(-1, length, *shape).transpose(1, 2)
        for name, (inputs, length) in zip(APART_PARTS, sides, strict=True)
    ]


def _set_apart(parts: nn.Module, old: nn.MultiheadAttention) -> None:
    """Three layers of what is one weight, since each has inputs of its own."""
    packed = old.in_proj_weight
    weights = (
        [old.q_proj_weight, old.k_proj_weight, old.v_proj_weight]
        if packed is None
        else [w.detach().clone() for w in packed.chunk(3)]
    )
    biases: list[Any] = [None] * 3
    if old.in_proj_bias is not None:
        biases = [b.detach().clone() for b in old.in_proj_bias.chunk(3)]
    for name, weight, bias in zip(APART_PARTS, weights, biases, strict=True):
        layer = _linear(weight, bias)
        for part, whole in ((layer.weight, packed), (layer.bias, old.in_proj_bias)):
            if part is not None and whole is not None:
                part.requires_grad_(whole.requires_grad)
        parts.add_module(name, layer)


def _mask(named: Mapping[str, Any], tracer: GraphAppendingTracer) -> Any:  # noqa: ANN401
    """What is added to the scores or, where all masks are of truth values, says which count.

    The layer's truth values say which do not.
    """
    nodes = {name: named[name] for name in MASKS if named.get(name) is not None}
    masks: dict[str, Any] = {name: Proxy(node, tracer) for name, node in nodes.items()}
    if PADDING in masks:  # (N, keys), the same for every head and query
        masks[PADDING] = masks[PADDING].unsqueeze(1).unsqueeze(1)
    are_bool = {name: _is_bool(node) for name, node in nodes.items()}
    if all(are_bool.values()):
        visible = [mask.logical_not() for mask in masks.values()]
        return visible[0] & visible[1] if len(visible) > 1 else next(iter(visible), None)
    added = [
        torch.zeros_like(mask, dtype=_dtype(named["query"])).masked_fill(mask, -math.inf)
        if are_bool[name]
        else mask
        for name, mask in masks.items()
    ]
    return added[0] + added[1] if len(added) > 1 else added[0]


def _dtype(node: Node) -> torch.dtype:
    dtype: torch.dtype = node.meta["tensor_meta"].dtype
    return dtype


def _is_bool(node: Node) -> bool:
    return _dtype(node) == torch.bool


@dataclass(frozen=True)
class Windows:
    """How (N, height, width, C) pictures fall into windows, after padding and a cyclic shift."""

    height: int
    width: int
    window: tuple[int, int]
    asked_shift: tuple[int, int]

    @property
    def padding(self) -> tuple[int, int]:
        """Rows and columns that are added below and to the right."""
        return -self.height % self.window[0], -self.width % self.window[1]

    @property
    def counts(self) -> tuple[int, int]:
        """Windows down and across."""
        (down, right), (rows, columns) = self.padding, self.window
        return (self.height + down) // rows, (self.width + right) // columns

    @property
    def shift(self) -> tuple[int, int]:
        """The shift; none along a side that a single window covers."""
        rows, columns = (
            0 if count == 1 else shift
            for count, shift in zip(self.counts, self.asked_shift, strict=True)
        )
        return rows, columns

    @property
    def length(self) -> int:
        """Positions in a window."""
        return self.window[0] * self.window[1]

    def split(self, pictures: Any) -> Any:  # noqa: ANN401
        """(N, height, width, C) to (N * windows, length, C)."""
        channels = pictures.node.meta["tensor_meta"].shape[-1]
        (down, right), (rows, columns), (high, wide) = self.padding, self.window, self.counts
        if down or right:
            pictures = F.pad(pictures, (0, 0, 0, right, 0, down))
        if any(self.shift):
            pictures = torch.roll(pictures, tuple(-s for s in self.shift), (1, 2))
        parts = pictures.reshape(-1, high, rows, wide, columns, channels)
        return parts.permute(0, 1, 3, 2, 4, 5).reshape(-1, self.length, channels)

    def join(self, windows: Any, channels: int) -> Any:  # noqa: ANN401
        """The opposite of `split`."""
        (rows, columns), (high, wide) = self.window, self.counts
        parts = windows.reshape(-1, high, wide, rows, columns, channels)
        pictures = parts.permute(0, 1, 3, 2, 4, 5).reshape(
            -1, high * rows, wide * columns, channels
        )
        if any(self.shift):
            pictures = torch.roll(pictures, self.shift, (1, 2))
        if any(self.padding):
            pictures = pictures[:, : self.height, : self.width]
        return pictures

    def apart(self) -> Tensor:
        """Added scores, (1, windows, 1, length, length): neighbours by the shift alone."""
        (rows, columns), (high, wide) = self.window, self.counts
        down, across = (
            torch.bucketize(torch.arange(n * w), torch.tensor([n * w - w, n * w - s]), right=True)
            for n, w, s in zip(self.counts, self.window, self.shift, strict=True)
        )
        regions = (3 * down[:, None] + across).view(high, rows, wide, columns)
        regions = regions.permute(0, 2, 1, 3).reshape(-1, self.length)
        differ = regions[:, None, :] != regions[:, :, None]
        return torch.where(differ, APART, 0.0)[None, :, None]


def windowed(model: GraphModule, node: Node, tracer: GraphAppendingTracer) -> Proxy | None:
    """Write out torchvision's `shifted_window_attention` for the node's input size."""
    named: dict[str, Any] = {**dict(zip(ARGUMENTS, node.args, strict=False)), **node.kwargs}
    inputs = named["input"]
    _, height, width, channels = inputs.meta["tensor_meta"].shape
    windows = Windows(height, width, tuple(named["window_size"]), tuple(named["shift_size"]))
    heads, scale = named["num_heads"], named.get("logit_scale")
    projections = [_projection(model, named, part, cosine=scale is not None) for part in PARTS]
    if None in projections:
        return None
    qkv = call(tracer, str(projections[0]), windows.split(Proxy(inputs, tracer)))
    parted = qkv.reshape(-1, windows.length, 3, heads, channels // heads).permute(2, 0, 3, 1, 4)
    scores = _scores(parted, channels // heads, scale and Proxy(scale, tracer))
    scores = scores + Proxy(named["relative_position_bias"], tracer)
    if any(windows.shift):
        name = f"{node.name}_apart"
        model.register_buffer(name, windows.apart())
        scores = _kept_apart(scores, Proxy(node.graph.get_attr(name), tracer), windows, heads)
    attended = torch.matmul(F.softmax(scores, dim=-1), parted[2]).transpose(1, 2)
    merged = attended.reshape(-1, windows.length, channels)
    return windows.join(call(tracer, str(projections[1]), merged), channels)  # type: ignore[no-any-return]


def _scores(parted: Any, width: int, scale: Any) -> Any:  # noqa: ANN401
    if scale is None:
        return torch.matmul(parted[0] * width**-0.5, parted[1].transpose(-2, -1))
    query, key = (F.normalize(parted[i], dim=-1) for i in (0, 1))
    cosines = torch.matmul(query, key.transpose(-2, -1))
    return cosines * torch.clamp(scale, max=math.log(100.0)).exp()


def _kept_apart(scores: Any, mask: Any, windows: Windows, heads: int) -> Any:  # noqa: ANN401
    count, length = math.prod(windows.counts), windows.length
    parted = scores.reshape(-1, count, heads, length, length) + mask
    return parted.reshape(-1, heads, length, length)


def _projection(
    model: GraphModule, named: dict[str, Any], part: str, *, cosine: bool
) -> str | None:
    """Put the layer back of which the trace reads weight and bias; its name, if it is one."""
    weight, bias = named[f"{part}_weight"], named.get(f"{part}_bias")
    if not isinstance(weight, torch.fx.Node) or weight.op != "get_attr":
        return None
    path = str(weight.target).removesuffix(".weight")
    old: Any = model.get_submodule(path)
    if isinstance(old, nn.Linear):
        return path
    layer = _linear(old.weight, old.bias if bias is not None else None)
    if cosine and part == "qkv" and layer.bias is not None:
        # The second version of the function ignores the bias of the keys.
        third = len(layer.bias) // 3
        layer.bias.data[third : 2 * third] = 0.0
    model.set_submodule(path, layer)
    return path


def merge_four(model: GraphModule, node: Node, tracer: GraphAppendingTracer) -> Any:  # noqa: ANN401, ARG001
    """Write out torchvision's `_patch_merging_pad`: 2 x 2 neighbours become channels."""
    inputs: Any = node.args[0]
    _, height, width, _ = inputs.meta["tensor_meta"].shape
    pictures: Any = Proxy(inputs, tracer)
    if height % 2 or width % 2:
        pictures = F.pad(pictures, (0, 0, 0, width % 2, 0, height % 2))
    corners = [pictures[:, i::2, j::2] for j in (0, 1) for i in (0, 1)]
    return torch.cat(corners, -1)


def position_bias(model: GraphModule, node: Node, tracer: GraphAppendingTracer) -> Any:  # noqa: ANN401, ARG001
    """Write out torchvision's `_get_relative_position_bias`: (1, heads, length, length)."""
    arguments: Any = node.args
    table: Any = Proxy(arguments[0], tracer)
    index = Proxy(arguments[1], tracer)
    length = arguments[2][0] * arguments[2][1]
    heads = arguments[0].meta["tensor_meta"].shape[1]
    return table[index].reshape(length, length, heads).permute(2, 0, 1).unsqueeze(0)


WINDOWED: dict[str, Rewriter] = {
    "shifted_window_attention": windowed,
    "_patch_merging_pad": merge_four,
    "_get_relative_position_bias": position_bias,
}


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    layer.weight = nn.Parameter(weight) if not isinstance(weight, nn.Parameter) else weight
    if bias is not None:
        layer.bias = nn.Parameter(bias) if not isinstance(bias, nn.Parameter) else bias
    return layer.eval()


def call(tracer: GraphAppendingTracer, path: str, inputs: Any) -> Any:  # noqa: ANN401
    """A call of the layer at `path` on a node or a proxy."""
    proxy = Proxy(inputs, tracer) if isinstance(inputs, torch.fx.Node) else inputs
    return tracer.create_proxy("call_module", path, (proxy,), {})
