"""Attention written out as linear layers, reshapes and products, so that heads can be seen.

`multi_head` stands for `nn.MultiheadAttention` (Vaswani et al. 2017), the others for torchvision's
functions for windows (Liu et al. 2021, "Swin Transformer"; 2022, "Swin Transformer V2"). Each takes
the model, the node it replaces (whose inputs know their shapes) and a tracer, and returns a proxy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.fx
from torch import nn
from torch.fx.proxy import GraphAppendingTracer, Proxy
from torch.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor
    from torch.fx import GraphModule, Node

    Rewriter = Callable[[GraphModule, Node, GraphAppendingTracer], Any]

# What Swin adds to scores of positions that the cyclic shift made neighbours.
APART = -100.0
PARTS = ("qkv", "proj")
ARGUMENTS = (
    "input", "qkv_weight", "proj_weight", "relative_position_bias", "window_size", "num_heads",
    "shift_size", "attention_dropout", "dropout", "qkv_bias", "proj_bias", "logit_scale",
)  # fmt: skip


def is_plain(layer: nn.Module, node: Node) -> bool:
    """Whether a call of `layer` is self-attention of the kind that `multi_head` writes out."""
    return (
        isinstance(layer, nn.MultiheadAttention)
        and layer.batch_first
        and layer.in_proj_weight is not None
        and layer.bias_k is None
        and not layer.add_zero_attn
        and len(node.args) == 3
        and len(set(node.args)) == 1
        and node.kwargs == {"need_weights": False}
    )


def multi_head(model: GraphModule, node: Node, tracer: GraphAppendingTracer) -> None:
    """Replace the first item of the pair that `nn.MultiheadAttention` returns."""
    path, old = str(node.target), model.get_submodule(str(node.target))
    assert isinstance(old, nn.MultiheadAttention)
    assert old.in_proj_weight is not None
    parts = nn.Module()
    parts.in_proj = _linear(old.in_proj_weight, old.in_proj_bias)
    parts.out_proj = _linear(old.out_proj.weight, old.out_proj.bias)
    if isinstance(model.get_submodule(path), nn.MultiheadAttention):
        model.set_submodule(path, parts.eval())
    inputs: Any = node.args[0]
    _, length, width = inputs.meta["tensor_meta"].shape
    heads = old.num_heads
    qkv = call(tracer, f"{path}.in_proj", inputs)
    parted = qkv.reshape(-1, length, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
    attended: Any = F.scaled_dot_product_attention(parted[0], parted[1], parted[2])
    result = call(tracer, f"{path}.out_proj", attended.transpose(1, 2).reshape(-1, length, width))
    for user in list(node.users):
        if user.args[1] == 0:
            user.replace_all_uses_with(result.node)
        user.graph.erase_node(user)
    node.graph.erase_node(node)


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
    given: Any = node.args
    table: Any = Proxy(given[0], tracer)
    index = Proxy(given[1], tracer)
    length = given[2][0] * given[2][1]
    heads = given[0].meta["tensor_meta"].shape[1]
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
