"""Explicit int8: ONNX with a quantising and a dequantising node around what runs in 8 bits.

Two forms of one calibration, since no form is quick everywhere (docs/precision.md has the figures):

- `tensorrt`: int8 on both sides, zero points 0, weights per output channel, biases in float, and
  no pair between a layer and the activation or addition that TensorRT fuses with it.
- `onnxruntime`: unsigned activations with a zero point, so that a ReLU is part of the rounding
  and ONNX Runtime's CPU kernels take whole chains of layers in 8 bits.
"""

from __future__ import annotations

import fnmatch
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationMethod, QuantType
from onnxruntime.quantization.calibrate import TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

from edgespiral.core.errors import ExportError, UsageError, unknown_name
from edgespiral.core.onnx_graph import used_names
from edgespiral.core.records.schema import Int8Form
from edgespiral.core.system.files import replacing
from edgespiral.export.graph import (
    CHANNEL_SCALES_OPSET,
    MULTIPLIES,
    RECURRENT,
    input_shapes,
    load_graph,
    opset,
    refusing,
    weighted_layers,
)
from edgespiral.export.int8.between import float_surrounded
from edgespiral.export.int8.logarithms import before_logarithms

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

    from onnx import ModelProto

    from edgespiral.export.int8.ranges import Ranges

Form = Int8Form

POOLS = ("MaxPool", "AveragePool", "GlobalAveragePool")
MOVES = ("Flatten", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Slice", "Split", "Pad")
# ONNX Runtime has int8 kernels for these; it has none for a transposed convolution.
RUNTIME_KINDS = ("Conv", "Gemm", "MatMul", "Add", "Concat", "Relu", "Clip", *POOLS, *MOVES)
KINDS: dict[Form, tuple[str, ...]] = {
    "tensorrt": (*MULTIPLIES, *POOLS),
    "onnxruntime": RUNTIME_KINDS,
}


def write_int8(
    source: Path, path: Path, ranges: Ranges, *, form: Form, keep_float: Collection[str] = ()
) -> dict[str, str]:
    """Write `source` with explicit quantisation to `path`; return why which layers stay float.

    Args:
        source: a float32 ONNX file.
        path: the file, replaced atomically.
        ranges: of `source`, from `ranges.calibrated`.
        keep_float: names of weighted layers (nodes) that stay in float.

    Raises:
        ExportError: the model is quantised already, has no fixed shape or nothing to quantise.
        RunFolderError: the file cannot be written.
    """
    model = load_graph(source)
    _require_float(model, source)
    without_kernel = {
        node.name: f"no int8 kernel for {node.op_type}"
        for node in weighted_layers(model)
        if node.op_type not in KINDS[form]
    }
    left_float = before_logarithms(model) | dict.fromkeys(keep_float, "asked for") | without_kernel
    if all(node.name in left_float for node in weighted_layers(model)):
        raise ExportError("no layer is left to run in int8", where=str(source))
    surrounded = float_surrounded(model, KINDS[form], left_float)
    with refusing(str(source), "cannot be quantised"), _quiet():
        quantised = _quantised(model, ranges, form, [*left_float, *surrounded])
    with replacing(path) as temporary:
        onnx.save(quantised, temporary)
    return left_float


def excluded_layers(
    source: Path, patterns: Sequence[str], *, where: str, all_there: bool = True
) -> list[str]:
    """The weighted layers whose names match a recipe's `exclude`.

    Args:
        all_there: each pattern must match something.

    Raises:
        UsageError: a pattern matches nothing; the nearest names are given.
    """
    names = [node.name for node in weighted_layers(load_graph(source))]
    for pattern in patterns:
        if all_there and not fnmatch.filter(names, pattern):
            problem = unknown_name("layer", pattern, names)
            raise UsageError(problem.what, where=f"{where}:exclude", hint=problem.hint)
    return [name for name in names if any(fnmatch.fnmatchcase(name, p) for p in patterns)]


def _require_float(model: ModelProto, source: Path) -> None:
    input_shapes(model, str(source))
    if opset(model) < CHANNEL_SCALES_OPSET:
        raise ExportError(
            f"is of opset {opset(model)}, int8 needs {CHANNEL_SCALES_OPSET}",
            where=str(source),
            hint="export it again with a later opset_version",
        )
    kinds = {node.op_type for node in model.graph.node}
    if kinds & {"QuantizeLinear", "DequantizeLinear", "QLinearConv"}:
        raise ExportError(
            "is quantised already", where=str(source), hint="name the float model it was made from"
        )
    if not kinds & {*MULTIPLIES, *RECURRENT}:
        raise ExportError("has no layer with weights", where=str(source))


def _quantised(model: ModelProto, ranges: Ranges, form: Form, left_float: list[str]) -> ModelProto:
    ends = {
        name: (np.float32(low), np.float32(high)) for name, (low, high) in ranges.tensors.items()
    }
    signed = form == "tensorrt"
    options: dict[str, Any] = {"MatMulConstBOnly": True, "ActivationSymmetric": signed}
    if signed:
        options |= {"QuantizeBias": False, "OpTypesToExcludeOutputQuantization": list(MULTIPLIES)}
    quantizer = QDQQuantizer(
        model,
        per_channel=True,
        reduce_range=False,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QInt8 if signed else QuantType.QUInt8,
        tensors_range=TensorsData(CalibrationMethod.MinMax, ends),
        nodes_to_quantize=[],
        nodes_to_exclude=left_float,
        op_types_to_quantize=list(KINDS[form]),
        extra_options=options,
    )
    quantizer.quantize_model()
    quantizer.model.topological_sort()
    quantised: ModelProto = quantizer.model.model
    _leave_outputs_float(quantised)
    onnx.checker.check_model(quantised)
    return quantised


def _leave_outputs_float(model: ModelProto) -> None:
    """Take out a pair at the very end: it saves no time and costs the logits their precision."""
    graph = model.graph
    makers = {name: node for node in graph.node for name in node.output}
    for output in graph.output:
        back = makers.get(output.name)
        pair = makers.get(back.input[0]) if back and back.op_type == "DequantizeLinear" else None
        if back is None or pair is None or pair.op_type != "QuantizeLinear":
            continue
        before = pair.input[0]
        users = [node for node in graph.node if before in node.input]
        if before in makers and users == [pair]:
            outputs = list(makers[before].output)
            makers[before].output[outputs.index(before)] = output.name
            graph.node.remove(back)
            graph.node.remove(pair)
    used = used_names(graph)
    for tensor in [
        initializer for initializer in graph.initializer if initializer.name not in used
    ]:
        graph.initializer.remove(tensor)


@contextmanager
def _quiet() -> Iterator[None]:
    """ONNX Runtime's quantizer advises through the root logger."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
