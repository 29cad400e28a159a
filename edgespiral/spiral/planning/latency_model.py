"""A latency model of one architecture on one target, fitted to measurements of untrained cuts.

A layer's time is modelled as `a*cin*cout + b*cin + c*cout + d`, with non-negative coefficients
shared by layers of one shape class (operator, kernel, spatial sizes), in channels rounded up to the
device's multiple, because kernels work in blocks. The bilinear term is what couples neighbouring
widths (Humble et al. 2022, "Soft masking for cost-constrained channel pruning", section 3.3, and
Sun et al. 2025, "MDP", section 3, use the full table that this approximates).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from scipy.optimize import nnls
from torch import nn
from torch.nn.modules.conv import _ConvNd

from edgespiral.models.calling import call
from edgespiral.prune.groups import PRUNABLE
from edgespiral.prune.unstack import RECURRENT, directions
from edgespiral.spiral.planning.stepping.terms import LatencyTerms, LayerTerm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor
    from torch.fx import GraphModule

    from edgespiral.core.nested import Tensors
    from edgespiral.core.records.measurement import (
        LayerLatency,
    )
    from edgespiral.prune.groups import ChannelGroup

    Vector = NDArray[np.float64]

Operator = Literal["conv", "gemm", "lstm", "gru", "rnn"]
ShapeClass = tuple[Operator, bool, tuple[int, ...], tuple[int, ...], tuple[int, ...]]
# One layer's class and its input and output channels.
Part = tuple[tuple[ShapeClass, bool], float, float]
FEATURES = 4
# With this many sizes of a shape class its coefficients are told apart well enough.
LEAST_SIZES = 3
# Of the rows' residuals, not of their squares.
PROFILE_WEIGHT = 0.1
GATES = {"lstm": 4, "gru": 3, "rnn": 1}
KINDS: dict[type[nn.Module], Operator] = {nn.LSTM: "lstm", nn.GRU: "gru", nn.RNN: "rnn"}
WEIGHTED = (*PRUNABLE, *RECURRENT)


@dataclass(frozen=True)
class LayerShape:
    """One weighted layer: its shape class and what decides its channel counts.

    `cin_per_channel` and `cout_per_channel` give, per governing group, the positions on that side
    that one of the group's channels takes.
    """

    name: str
    shape_class: ShapeClass
    cin: int
    cout: int
    cin_per_channel: Mapping[str, float]
    cout_per_channel: Mapping[str, float]


@dataclass(frozen=True)
class WidthTotal:
    """A whole model's measured latency at some widths."""

    widths: Mapping[str, int]
    latency_ms: float


def layer_shapes(
    model: GraphModule, groups: Sequence[ChannelGroup], example: Tensors
) -> list[LayerShape]:
    """The weighted layers of `model` in the order they run, as `example` (1, ...) sees them.

    A recurrent layer counts twice: for what it computes of its inputs, and of its own last state.
    """
    spatial: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {}
    layers = {n: m for n, m in model.named_modules() if isinstance(m, WEIGHTED)}

    def remember(name: str) -> object:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            if isinstance(module, RECURRENT):
                steps = inputs[0].shape[1 if module.batch_first else 0]
                spatial[name] = ((steps,), (steps,))
            else:
                spatial[name] = (tuple(inputs[0].shape[2:]), tuple(output.shape[2:]))

        return hook

    handles = [m.register_forward_hook(remember(n)) for n, m in layers.items()]  # type: ignore[arg-type]
    with torch.no_grad():
        call(model.eval(), example)
    for handle in handles:
        handle.remove()
    return [
        shape for name in spatial for shape in _shapes_of(name, layers[name], spatial[name], groups)
    ]


@dataclass(frozen=True)
class _LayerTime:
    """A layer's predicted time by the widths that decide it, each computed once a fit.

    An allocation asks for the same few widths of a layer hundreds of thousands of times.
    """

    layer: LayerShape
    key_of: Callable[[Mapping[str, int]], Any]
    cached_ms: dict[Any, float] = field(default_factory=dict)

    @classmethod
    def of(cls, layer: LayerShape) -> _LayerTime:
        names = {**layer.cin_per_channel, **layer.cout_per_channel}
        return cls(layer, itemgetter(*names) if names else lambda _: None)


@dataclass
class LatencyModel:
    """Predicts milliseconds from widths. Fit it before use; fit again as measurements come in."""

    layers: Sequence[LayerShape]
    base_widths: Mapping[str, int]
    multiple: int
    _classes: dict[tuple[ShapeClass, bool], int] = field(init=False)
    _coefficients: Vector | None = field(init=False, default=None)
    _times: list[_LayerTime] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        """Number the shape classes."""
        shape_classes = dict.fromkeys(
            self._class_of(layer.shape_class, layer.cin) for layer in self.layers
        )
        self._classes = {shape_class: index for index, shape_class in enumerate(shape_classes)}

    def fit(self, profiled: Sequence[LayerLatency], totals: Sequence[WidthTotal]) -> None:
        """Fit to per-layer times (may be empty) and whole-model times (at least one).

        Non-negative least squares on relative errors. A whole model is the sum of its layers,
        scaled by nothing, plus a constant. Layer rows tell the layers apart but hold the profiler's
        own time, so all of them together weigh `PROFILE_WEIGHT` of the whole-model rows.
        """
        rows, times, weights = [], [], []
        for row in profiled:
            features = self._profiled_features(row)
            if features is not None and row.latency_ms > 0:
                rows.append(features)
                times.append(row.latency_ms)
                weights.append(PROFILE_WEIGHT / row.latency_ms)
        share = math.sqrt(max(1.0, len(rows) / len(totals)))
        for total in totals:
            rows.append(self._features(total.widths))
            times.append(total.latency_ms)
            weights.append(share / total.latency_ms)
        scale = np.asarray(weights)
        matrix = np.stack(rows) * scale[:, None]
        norms = np.maximum(np.linalg.norm(matrix, axis=0), np.finfo(float).tiny)
        solution, _ = nnls(matrix / norms, np.asarray(times) * scale, maxiter=50 * matrix.shape[1])
        self._coefficients = solution / norms
        self._times = [_LayerTime.of(layer) for layer in self.layers]

    def knows(self, row: LayerLatency) -> bool:
        """Whether the model has layers of a profiled layer's shape class."""
        return self._parts_of(row) is not None

    def covers(self, profiled: Sequence[LayerLatency], cuts: Sequence[Mapping[str, int]]) -> bool:
        """Whether `profiled` tells of every shape class what profiling the model at `cuts` would.

        That is as many sizes, or `LEAST_SIZES`, and one at least as large as the largest.
        """
        rows = (parts for row in profiled if (parts := self._parts_of(row)) is not None)
        profiled_sizes = self._sizes(part for parts in rows for part in parts)
        sizes_of_cuts = self._sizes(part for widths in cuts for part in self._parts_at(widths))
        return all(
            len(profiled_sizes.get(key, ())) >= min(LEAST_SIZES, len(sizes))
            and max(map(math.prod, profiled_sizes[key])) >= max(map(math.prod, sizes))
            for key, sizes in sizes_of_cuts.items()
        )

    def predict_ms(self, widths: Mapping[str, int]) -> float:
        """Predicted latency at `widths`."""
        if self._coefficients is None:
            raise RuntimeError("fit the latency model before asking it")
        total_ms = float(self._coefficients[-1])
        for time in self._times:
            key = time.key_of(widths)
            layer_ms = time.cached_ms.get(key)
            if layer_ms is None:
                part = self._part_at(time.layer, widths)
                row = self._row([] if part is None else [part])
                layer_ms = time.cached_ms[key] = float(row @ self._coefficients)
            total_ms += layer_ms
        return total_ms

    def terms(self) -> Sequence[LatencyTerms]:
        """What it predicts by layers; of this device alone."""
        return [self.scaled(1.0)]

    def scaled(self, scale: float) -> LatencyTerms:
        """What it predicts as a sum over layers, all of it times `scale`."""
        if self._coefficients is None:
            raise RuntimeError("fit the latency model before asking it")
        layers = [
            LayerTerm(
                layer.cin,
                layer.cout,
                layer.cin_per_channel,
                layer.cout_per_channel,
                self._coefficients_of(layer),
            )
            for layer in self.layers
        ]
        constant_ms = float(self._coefficients[-1])
        return LatencyTerms(layers, constant_ms, self.base_widths, self.multiple, scale)

    def _coefficients_of(self, layer: LayerShape) -> list[float]:
        assert self._coefficients is not None
        start = FEATURES * self._classes[self._class_of(layer.shape_class, layer.cin)]
        _, grouped, *_ = layer.shape_class
        # A grouped layer's inputs are its outputs.
        seen = np.array([not grouped, not grouped, True, True])
        own = self._coefficients[start : start + FEATURES] * seen
        return [float(coefficient) for coefficient in own]

    def weight_count(self, widths: Mapping[str, int]) -> float:
        """How many weights the layers have at `widths`; of grouped ones, one input a channel."""
        return sum(
            _weights(shape_class, cin, cout)
            for (shape_class, _), cin, cout in self._parts_at(widths)
        )

    def _features(self, widths: Mapping[str, int]) -> Vector:
        row = self._row(self._parts_at(widths))
        row[-1] = 1.0
        return row

    def _profiled_features(self, row: LayerLatency) -> Vector | None:
        parts = self._parts_of(row)
        return None if parts is None else self._row(parts)

    def _row(self, parts: Iterable[Part]) -> Vector:
        row = np.zeros(FEATURES * len(self._classes) + 1)
        for key, cin, cout in parts:
            self._add(row, key, cin, cout)
        return row

    def _parts_at(self, widths: Mapping[str, int]) -> Iterator[Part]:
        parts = (self._part_at(layer, widths) for layer in self.layers)
        return (part for part in parts if part is not None)

    def _part_at(self, layer: LayerShape, widths: Mapping[str, int]) -> Part | None:
        """One layer at `widths`; None where the branch around it is gone."""
        base = self.base_widths
        cin, cout = (
            whole - sum((base[g] - widths[g]) * each for g, each in per_channel.items())
            for whole, per_channel in (
                (layer.cin, layer.cin_per_channel),
                (layer.cout, layer.cout_per_channel),
            )
        )
        # A side at 0 means that the branch is gone.
        if cin <= 0 or cout <= 0:
            return None
        return self._class_of(layer.shape_class, layer.cin), cin, cout

    def _parts_of(self, row: LayerLatency) -> list[Part] | None:
        """The parts of a profiled layer; None where this model has none of a class."""
        if row.operator in GATES:
            steps, runs, _, hidden = row.output_shape
            products = recurrent_classes(row.operator, runs, steps)
            sides = zip(products, (row.input_shape[2], hidden), strict=True)
            parts: list[Part] = [
                (self._class_of(kind, cin), cin, runs * hidden) for kind, cin in sides
            ]
        else:
            cin, cout = row.input_shape[1], row.output_shape[1]
            depthwise = row.operator == "conv" and row.weight_shape[1] != cin
            spatial = (row.weight_shape[2:], row.input_shape[2:], row.output_shape[2:])
            parts = [(self._class_of((row.operator, depthwise, *spatial), cin), cin, cout)]
        return parts if all(key in self._classes for key, _, _ in parts) else None

    def _sizes(
        self, parts: Iterable[Part]
    ) -> dict[tuple[ShapeClass, bool], set[tuple[float, float]]]:
        """Of each shape class, the blocks of input and output channels that occur."""
        blocks: dict[tuple[ShapeClass, bool], set[tuple[float, float]]] = {}
        for key, cin, cout in parts:
            blocks.setdefault(key, set()).add((self._round_up(cin), self._round_up(cout)))
        return blocks

    def _class_of(self, shape_class: ShapeClass, cin: int) -> tuple[ShapeClass, bool]:
        # Less than one block of inputs, such as an image, takes another and much faster kernel.
        return shape_class, cin < self.multiple

    def _add(self, row: Vector, key: tuple[ShapeClass, bool], cin: float, cout: float) -> None:
        start = FEATURES * self._classes[key]
        cin, cout = self._round_up(cin), self._round_up(cout)
        grouped = key[0][1]
        product = 0.0 if grouped else cin * cout
        row[start : start + FEATURES] += (product, 0.0 if grouped else cin, cout, 1.0)

    def _round_up(self, channels: float) -> float:
        return self.multiple * math.ceil(channels / self.multiple)


def recurrent_classes(operator: Operator, runs: int, steps: int) -> tuple[ShapeClass, ShapeClass]:
    """The shape classes of a recurrent layer's two products: of its inputs, of its own state."""
    return (
        (operator, False, (runs, 0), (steps,), (steps,)),
        (operator, False, (runs, 1), (steps,), (steps,)),
    )


def _weights(shape_class: ShapeClass, cin: float, cout: float) -> float:
    operator, grouped, kernel, *_ = shape_class
    if operator in GATES:
        return GATES[operator] * cin * cout
    return math.prod(kernel) * cout * (1 if grouped else cin)


def _shapes_of(
    name: str,
    module: nn.Module,
    spatial: tuple[tuple[int, ...], tuple[int, ...]],
    groups: Sequence[ChannelGroup],
) -> list[LayerShape]:
    if not isinstance(module, RECURRENT):
        return [_layer_shape(name, module, spatial, groups)]
    sizes = {g.name: g.channels for g in groups}
    consumed = {g.name: s.channel_of for g in groups for s in g.consumers if s.layer == name}
    produced = {g.name: s.channel_of for g in groups for s in g.producers if s.layer == name}
    hidden, runs = module.hidden_size, directions(module)
    outputs_per_channel = _positions_per_channel(produced, sizes)
    states_per_channel = {
        group: positions / runs for group, positions in outputs_per_channel.items()
    }
    kind = next(operator for layer, operator in KINDS.items() if isinstance(module, layer))
    inputs, state = recurrent_classes(kind, runs, spatial[0][0])
    inputs_per_channel = _positions_per_channel(consumed, sizes)
    return [
        LayerShape(
            name, inputs, module.input_size, runs * hidden, inputs_per_channel, outputs_per_channel
        ),
        LayerShape(name, state, hidden, runs * hidden, states_per_channel, outputs_per_channel),
    ]


def _layer_shape(
    name: str,
    module: nn.Module,
    spatial: tuple[tuple[int, ...], tuple[int, ...]],
    groups: Sequence[ChannelGroup],
) -> LayerShape:
    if isinstance(module, _ConvNd):
        kernel = tuple(module.kernel_size)
        cin, cout, grouped = module.in_channels, module.out_channels, module.groups > 1
        key: ShapeClass = ("conv", grouped, kernel, *spatial)
    else:
        assert isinstance(module, nn.Linear)
        cin, cout = module.in_features, module.out_features
        key = ("gemm", False, (), (), ())
    consumed = {g.name: s.channel_of for g in groups for s in g.consumers if s.layer == name}
    produced = {g.name: s.channel_of for g in groups for s in g.producers if s.layer == name}
    sizes = {g.name: g.channels for g in groups}
    return LayerShape(
        name,
        key,
        cin,
        cout,
        _positions_per_channel(consumed or (produced if key[1] else {}), sizes),
        _positions_per_channel(produced, sizes),
    )


def _positions_per_channel(
    slots: Mapping[str, Tensor], sizes: Mapping[str, int]
) -> dict[str, float]:
    return {name: int((slot >= 0).sum()) / sizes[name] for name, slot in slots.items()}
