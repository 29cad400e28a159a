"""Which channel of which layer each element of each activation carries.

A traced model is run on labels in place of numbers: operations that only move data move labels,
element-wise ones couple the labels that they bring together, layers end some labels and start
others, and whatever else meets labels settles that their channels must stay. So a concatenation, a
flatten, the halves of a bidirectional output or a final state need no rules of their own: the
operation itself is run on the labels.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.fx
from torch import nn
from torch.fx.node import map_aggregate

from edgespiral.prune.unstack import RECURRENT, directions

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor
    from torch.fx import GraphModule
    from torch.fx.node import Target

    # What nodes pass on: tensors, activations, numbers, and tuples, lists and dicts of them.
    Tree = Any


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
POOLING_MODULES = (
    *(nn.MaxPool1d, nn.MaxPool2d, nn.AvgPool1d, nn.AvgPool2d),
    *(nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d),
)
POOLING = _names(
    "max_pool1d max_pool2d avg_pool1d avg_pool2d adaptive_avg_pool1d adaptive_avg_pool2d"
)
MOVING_MODULES = (nn.Flatten, nn.Unflatten, nn.Identity)
MOVING = _names(
    "cat chunk concat contiguous clone detach expand flatten flip getattr getitem movedim "
    "narrow permute repeat reshape select split squeeze stack swapaxes t transpose unbind "
    "unflatten unsqueeze view"
)
POINTWISE_MODULES = (
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Mish, nn.Hardswish),
    *(nn.Hardtanh, nn.Hardsigmoid, nn.Tanh, nn.Sigmoid, nn.Dropout, nn.Dropout2d, nn.Dropout1d),
)
POINTWISE = _names(
    "abs dropout elu exp float gelu hardswish hardtanh leaky_relu mish neg relu relu_ relu6 "
    "sigmoid silu sqrt square tanh to"
)
COUPLING = _names("add iadd sub mul imul truediv div maximum minimum add_ mul_")
REDUCING = _names("amax amin max mean min sum")
FREE = -1


@dataclass
class Labelled:
    """An activation: its values, and for each element its channel's number and its sample."""

    value: Tensor
    channel: Tensor
    sample: Tensor


class Extremes(NamedTuple):
    """What `max` and `min` along an axis return."""

    values: Labelled
    indices: Labelled


@dataclass(frozen=True)
class Side:
    """The channels on one side of a layer, by position, and the axis that its samples lie on."""

    channel: Tensor
    batch_axis: int = 0


@dataclass
class Findings:
    """What a run on labels has found. Channels are numbered over the whole model.

    `joined` has pairs of channels that are coupled, `fixed` why a channel must stay.
    """

    count: int = 0
    produced: dict[str, Side] = field(default_factory=dict)
    followed: dict[str, Side] = field(default_factory=dict)
    consumed: dict[str, Side] = field(default_factory=dict)
    joined: list[tuple[int, int]] = field(default_factory=list)
    fixed: dict[int, str] = field(default_factory=dict)

    def fix(self, channels: Tensor, reason: str) -> None:
        """Settle that these channels stay, the first reason given counting."""
        for number in set(channels.flatten().tolist()) - {FREE}:
            self.fixed.setdefault(number, reason)

    def join(self, first: Tensor, second: Tensor, what: str) -> None:
        """Couple channels position by position; one that meets no channel must stay."""
        pairs = torch.unique(torch.stack([first.flatten(), second.flatten()], 1), dim=0)
        lone = pairs[(pairs == FREE).any(1)]
        self.fix(lone, f"{what} brings it together with what cannot be cut")
        self.joined += [(a, b) for a, b in pairs.tolist() if FREE not in (a, b) and a != b]


def find_labels(model: GraphModule, example: Tensor) -> Findings:
    """Run `model` on labels.

    Args:
        model: traced; its stacks of recurrent layers taken apart.
        example: (N, ...) with N > 1, so that samples can be told apart.
    """
    run = _Run(model)
    with torch.no_grad():
        run.run(example)
    return run.findings


class _Run(torch.fx.Interpreter):
    """Runs a model on `Labelled` activations; plain tensors are constants."""

    def __init__(self, model: GraphModule) -> None:
        super().__init__(model.eval())
        self.findings = Findings()

    def placeholder(self, target: Target, args: Tree, kwargs: Tree) -> Tree:
        return _free(super().placeholder(target, args, kwargs))

    def output(self, target: Target, args: Tree, kwargs: Tree) -> Tree:
        for found in _labelled(args):
            self.findings.fix(found.channel, "the model's output has it")
        return super().output(target, args, kwargs)

    def call_module(self, target: Target, args: Tree, kwargs: Tree) -> Tree:
        name, layer = str(target), self.submodules[str(target)]
        values = layer(*_part(args, "value"), **_part(kwargs, "value"))
        given = _labelled((args, kwargs))
        if len(given) == 1:
            known = self._through_layer(name, layer, given[0], values)
            if known is not None:
                return known
        return self._unknown(values, given, f"{name}, a {type(layer).__name__}, reads it")

    def call_function(self, target: Target, args: Tree, kwargs: Tree) -> Tree:
        name = getattr(target, "__name__", "")
        return self._called(name, super().call_function, target, args, kwargs)

    def call_method(self, target: Target, args: Tree, kwargs: Tree) -> Tree:
        return self._called(str(target), super().call_method, target, args, kwargs)

    def _called(
        self, name: str, call: Callable[..., Tree], target: Target, args: Tree, kwargs: Tree
    ) -> Tree:
        values = call(target, *_part((args, kwargs), "value"))
        given = _labelled((args, kwargs))
        if not given or not _has_tensor(values):
            return values
        if name in MOVING:
            args, kwargs = _wrapped(args), _wrapped(kwargs)
            moved = (call(target, *_part((args, kwargs), part)) for part in ("channel", "sample"))
            return _zipped(values, *moved)
        known = None
        if name in COUPLING:
            known = self._coupled(values, _wrapped(args), name)
        elif len(given) == 1 and name in REDUCING:
            known = self._reduced(values, given[0], args, kwargs)
        elif len(given) == 1 and name in POOLING:
            known = self._pooled(values, given[0])
        elif len(given) == 1 and name in POINTWISE:
            known = Labelled(values, given[0].channel, given[0].sample)
        return known or self._unknown(values, given, f"{name} mixes it with others")

    def _through_layer(self, name: str, layer: nn.Module, found: Labelled, values: Tree) -> Tree:
        if isinstance(layer, MOVING_MODULES):
            return Labelled(values, layer(found.channel), layer(found.sample))
        if isinstance(layer, POINTWISE_MODULES):
            return Labelled(values, found.channel, found.sample)
        if isinstance(layer, POOLING_MODULES):
            return self._pooled(values, found)
        if isinstance(layer, NORMS) or _is_depthwise(layer):
            return self._followed(name, values, found)
        return self._through_weights(name, layer, found, values)

    def _through_weights(self, name: str, layer: nn.Module, found: Labelled, values: Tree) -> Tree:
        """The output of a layer that ends channels and starts others; None if it is unknown."""
        if isinstance(layer, RECURRENT):
            return self._recurrent(name, layer, values, found)
        if isinstance(layer, nn.Embedding) and layer.max_norm is None:
            return self._produce(name, values, -1, found.sample[..., None])
        if isinstance(layer, nn.Linear):
            self._consume(name, found, -1)
            return self._produce(name, values, -1, found.sample[..., :1])
        if isinstance(layer, CONVOLUTIONS) and layer.groups == 1:
            self._consume(name, found, 1)
            return self._produce(name, values, 1, _per_channel(found.sample)[:, :1])
        return None

    def _recurrent(
        self, name: str, layer: nn.LSTM | nn.GRU, values: Tree, found: Labelled
    ) -> tuple[Tree, Tree]:
        self._consume(name, found, -1)
        outputs = self._produce(name, values[0], -1, found.sample[..., :1])
        runs = self.findings.produced[name].channel.view(directions(layer), 1, -1)

        def state(value: Tree) -> Tree:
            return Labelled(value, runs.expand(value.shape), _along(value, 1))

        return outputs, map_aggregate(values[1], state)

    def _consume(self, name: str, found: Labelled, axis: int) -> None:
        side = self._side(found, axis, name)
        known = self.findings.consumed.setdefault(name, side)
        if known is not side:
            self.findings.join(known.channel, side.channel, f"{name}, used twice,")
        if known.batch_axis != side.batch_axis:
            self.findings.fix(side.channel, f"{name} reads it in two layouts")

    def _produce(self, name: str, value: Tensor, axis: int, sample: Tensor) -> Labelled:
        width = value.shape[axis]
        if name not in self.findings.produced:
            first = self.findings.count
            self.findings.produced[name] = Side(torch.arange(first, first + width))
            self.findings.count += width
        channel = self.findings.produced[name].channel
        return Labelled(value, _spread(channel, value, axis), sample.expand(value.shape))

    def _followed(self, name: str, value: Tensor, found: Labelled) -> Labelled:
        side = self._side(found, 1, name)
        known = self.findings.followed.setdefault(name, side)
        if known is not side:
            self.findings.join(known.channel, side.channel, f"{name}, used twice,")
        sample = _per_channel(found.sample)
        return Labelled(value, _spread(side.channel, value, 1), sample.expand(value.shape))

    def _pooled(self, value: Tensor, found: Labelled) -> Labelled:
        side = self._side(found, 1, "a pooling")
        sample = _per_channel(found.sample)
        return Labelled(value, _spread(side.channel, value, 1), sample.expand(value.shape))

    def _side(self, found: Labelled, axis: int, what: str) -> Side:
        """The channels along `axis`; where they differ along another one, they must stay."""
        rows = found.channel.movedim(axis, -1).flatten(0, -2)
        if not bool((rows == rows[0]).all()):
            self.findings.fix(rows, f"{what} does not read it at the same place always")
            return Side(torch.full_like(rows[0], FREE))
        batch_axis = _batch_axis(found.sample.movedim(axis, -1)[..., 0])
        if batch_axis is None:
            self.findings.fix(rows, f"{what} reads samples that are spread over several axes")
        return Side(rows[0], batch_axis or 0)

    def _coupled(self, value: Tensor, args: Tree, name: str) -> Labelled | None:
        if len(args) != 2:
            return None
        operands = _labelled(args)
        for operand, other in (operands, operands[::-1]) if len(operands) == 2 else ():
            if _scales(operand, other):
                self.findings.fix(operand.channel, f"{name} spreads it over other channels")
                return _broadcast(value, other)
        if len(operands) == 1:
            return _broadcast(value, operands[0])
        first, second = (_broadcast(value, operand) for operand in operands)
        self.findings.join(first.channel, second.channel, name)
        return Labelled(
            value,
            torch.where(first.channel == FREE, second.channel, first.channel),
            torch.maximum(first.sample, second.sample),
        )

    def _reduced(self, values: Tree, found: Labelled, args: Tree, kwargs: Tree) -> Tree:
        named = dict(zip(("dim", "keepdim"), args[1:], strict=False)) | kwargs
        axes = named.get("dim", named.get("axis"))
        if axes is None:
            return None
        keep = bool(named.get("keepdim", False))
        low, high = (f(found.channel, axes, keepdim=keep) for f in (torch.amin, torch.amax))
        if not torch.equal(low, high):
            return None
        sample = torch.amax(found.sample, axes, keepdim=keep)
        if isinstance(values, torch.Tensor):
            return Labelled(values, low, sample)
        positions = Labelled(values[1], torch.full_like(low, FREE), sample)
        return Extremes(Labelled(values[0], low, sample), positions)

    def _unknown(self, values: Tree, given: list[Labelled], reason: str) -> Tree:
        for found in given:
            self.findings.fix(found.channel, reason)

        def without_channels(value: Tree) -> Tree:
            if not isinstance(value, torch.Tensor):
                return value
            same = [found.sample for found in given if found.sample.shape == value.shape]
            return Labelled(value, torch.full(value.shape, FREE), [*same, _along(value, 0)][0])

        return map_aggregate(values, without_channels)


def _free(value: Tensor) -> Labelled:
    return Labelled(value, torch.full(value.shape, FREE), _along(value, 0))


def _along(value: Tensor, axis: int) -> Tensor:
    """The position along `axis`, shaped as `value`."""
    return _spread(torch.arange(value.shape[axis]), value, axis)


def _spread(vector: Tensor, value: Tensor, axis: int) -> Tensor:
    shape = [1] * value.dim()
    shape[axis] = -1
    return vector.view(shape).expand(value.shape)


def _per_channel(sample: Tensor) -> Tensor:
    """(N, C, ...) with one position of each further axis."""
    first = sample.flatten(2)[..., :1] if sample.dim() > 2 else sample
    return first.view(*sample.shape[:2], *[1] * (sample.dim() - 2))


def _part(tree: Tree, part: str) -> Tree:
    return map_aggregate(tree, lambda leaf: getattr(leaf, part) if _is(leaf) else leaf)


def _wrapped(tree: Tree) -> Tree:
    """With constants as activations that carry no channel and no sample."""

    def wrap(leaf: Tree) -> Tree:
        if not isinstance(leaf, torch.Tensor):
            return leaf
        return Labelled(leaf, *(torch.full(leaf.shape, FREE) for _ in range(2)))

    return map_aggregate(tree, wrap)


def _is(leaf: Tree) -> bool:
    return isinstance(leaf, Labelled)


def _labelled(tree: Tree) -> list[Labelled]:
    found: list[Tree] = []
    map_aggregate(tree, lambda leaf: found.append(leaf) if _is(leaf) else None)
    return found


def _has_tensor(tree: Tree) -> bool:
    found: list[Tree] = []
    map_aggregate(tree, lambda leaf: found.append(isinstance(leaf, torch.Tensor)))
    return any(found)


def _zipped(values: Tree, channels: Tree, samples: Tree) -> Tree:
    if isinstance(values, torch.Tensor):
        return Labelled(values, channels, samples)
    return tuple(_zipped(*parts) for parts in zip(values, channels, samples, strict=True))


def _broadcast(value: Tensor, found: Labelled) -> Labelled:
    channel, sample = (part.expand(value.shape) for part in (found.channel, found.sample))
    return Labelled(value, channel, sample)


def _scales(operand: Labelled, other: Labelled) -> bool:
    """Whether `operand` has one element where the channels of `other` run along an axis."""
    shape = [1] * (other.value.dim() - operand.value.dim()) + list(operand.value.shape)
    for axis, size in enumerate(other.value.shape):
        here = other.channel.movedim(axis, 0)
        if size > 1 and shape[axis - other.value.dim()] == 1 and bool((here != here[0]).any()):
            return True
    return False


def _batch_axis(sample: Tensor) -> int | None:
    """The axis that samples lie on; 0 too if each takes a run of as many places of axis 0."""
    count = int(sample.max()) + 1
    for axis, size in enumerate(sample.shape):
        if size % count == 0 and (axis == 0 or size == count):
            places = torch.arange(size) // (size // count)
            if torch.equal(sample, _spread(places, sample, axis)):
                return axis
    return None


def _is_depthwise(layer: nn.Module) -> bool:
    return (
        isinstance(layer, CONVOLUTIONS)
        and 1 < layer.groups == layer.in_channels == layer.out_channels
    )
