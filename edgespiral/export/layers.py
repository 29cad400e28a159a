"""Where a converted model departs from the float one, layer by layer, on real samples."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from edgespiral.core.records.exported import LayerError
from edgespiral.export.graph import load_graph, run_tapped, tapped, weighted_layers

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from onnx import ModelProto, NodeProto

    from edgespiral.core.nested import Tensors

OWN = "own::"


class Noise:
    """Sums over samples that a signal-to-noise ratio is made of."""

    def __init__(self) -> None:
        self._signal = 0.0
        self._noise = 0.0
        self.finite = True

    def add(self, expected: NDArray[Any], values: NDArray[Any]) -> None:
        """Take in one pair of equal shape."""
        exact = expected.astype(np.float64)
        self._signal += float(np.square(exact).sum())
        self._noise += float(np.square(exact - values.astype(np.float64)).sum())
        self.finite = self.finite and bool(np.isfinite(values).all())

    @property
    def sqnr_db(self) -> float | None:
        """10 log10(signal / noise); None where nothing differs, or nothing is comparable."""
        if not self._signal or not self._noise or not math.isfinite(self._noise):
            return None
        return 10 * math.log10(self._signal / self._noise)


def layer_errors(source: Path, converted: Path, inputs: Iterable[Tensors]) -> list[LayerError]:
    """The error at the output of each layer with weights, in the order they run.

    `sqnr_db` is of the whole converted model up to there; `own_sqnr_db` is of that layer's own
    rounding, given the float model's inputs. Outputs are taken before any activation.

    Args:
        source: the float32 ONNX file.
        converted: the file made from it; its nodes keep their names.
        inputs: samples of the model's input shape.

    Raises:
        ExportError: a model cannot be run on the samples.
    """
    before, after = load_graph(source), load_graph(converted)
    theirs = {node.name: node for node in after.graph.node}
    shared = [node for node in weighted_layers(before) if node.name in theirs]
    own = [node.name for node in shared if _add_copy(before, node, theirs[node.name], after)]
    expected = [node.output[0] for node in shared]
    copies = [OWN + node.output[0] for node in shared if node.name in own]
    outputs = [theirs[node.name].output[0] for node in shared]
    whole, alone = [Noise() for _ in shared], {name: Noise() for name in copies}
    float_session = tapped(before, [*expected, *copies], str(source))
    session = tapped(after, outputs, str(converted))
    for sample in inputs:
        right = run_tapped(float_session, sample, str(source))
        values = run_tapped(session, sample, str(converted))
        for noise, name, other in zip(whole, expected, outputs, strict=True):
            noise.add(right[name], values[other])
        for name in copies:
            alone[name].add(right[name.removeprefix(OWN)], right[name])
    return [
        LayerError(
            layer=node.name,
            operator=node.op_type,
            sqnr_db=noise.sqnr_db,
            finite=noise.finite,
            own_sqnr_db=alone[OWN + node.output[0]].sqnr_db if node.name in own else None,
        )
        for node, noise in zip(shared, whole, strict=True)
    ]


def worst_first(errors: Sequence[LayerError]) -> list[LayerError]:
    """Layers by the error of their own rounding, those without any last."""
    return sorted(errors, key=lambda e: math.inf if e.own_sqnr_db is None else e.own_sqnr_db)


def first_diverging(errors: Sequence[LayerError], least_sqnr_db: float) -> LayerError | None:
    """The first layer, in the order they run, that is not finite or below `least_sqnr_db`."""
    for error in errors:
        if not error.finite or (error.sqnr_db is not None and error.sqnr_db < least_sqnr_db):
            return error
    return None


def _add_copy(graph: ModelProto, node: NodeProto, theirs: NodeProto, other: ModelProto) -> bool:
    """Put a quantised copy of a layer beside it, fed with what it is fed.

    Returns:
        Whether there is one: a layer whose weights stay float has no rounding of its own.
    """
    makers = {name: maker for maker in other.graph.node for name in maker.output}
    stored = {tensor.name: tensor for tensor in other.graph.initializer}
    weights = makers.get(theirs.input[1])
    if weights is None or weights.op_type != "DequantizeLinear":
        return False
    copy = onnx.NodeProto()
    copy.CopyFrom(theirs)
    copy.name, copy.output[0] = OWN + node.name, OWN + node.output[0]
    nodes, needed = [], set[str]()
    for position, name in enumerate(theirs.input):
        back = makers.get(name)
        if back is None or back.op_type != "DequantizeLinear":
            copy.input[position] = node.input[position]
            continue
        steps = [makers[back.input[0]], back] if back.input[0] in makers else [back]
        copy.input[position] = f"{OWN}{node.name}:{position}"
        nodes += _chain(steps, node.input[position], copy.input[position])
        needed |= {part for step in steps for part in step.input if part in stored}
    present = {tensor.name for tensor in graph.graph.initializer}
    for name in sorted(needed):
        if OWN + name not in present:
            tensor = graph.graph.initializer.add()
            tensor.CopyFrom(stored[name])
            tensor.name = OWN + name
    graph.graph.node.extend([*nodes, copy])
    return True


def _chain(steps: Sequence[NodeProto], source: str, target: str) -> list[NodeProto]:
    """Copies of a quantising and a dequantising node, or of the latter alone, from `source`."""
    copies = []
    for index, step in enumerate(steps):
        copy = onnx.NodeProto()
        copy.CopyFrom(step)
        copy.name = f"{target}:{index}"
        for position in range(len(step.input)):
            copy.input[position] = OWN + step.input[position]
        if index > 0:
            copy.input[0] = f"{target}:{index - 1}"
        elif step.op_type == "QuantizeLinear":
            copy.input[0] = source
        copy.output[0] = target if index == len(steps) - 1 else f"{target}:{index}"
        copies.append(copy)
    return copies
