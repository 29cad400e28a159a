"""Half precision: float16 weights and arithmetic, float32 inputs and outputs."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper
from onnxruntime.quantization.onnx_model import ONNXModel
from onnxruntime.transformers.float16 import convert_float_to_float16

from edgespiral.core.errors import ExportError
from edgespiral.core.system.files import replacing
from edgespiral.export.file_model import FileModel
from edgespiral.export.graph import load_graph, open_session, refusing

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from onnx import ModelProto

    from edgespiral.core.nested import Tensors

LARGEST = float(np.finfo(np.float16).max)


def write_fp16(source: Path, path: Path, inputs: Iterable[Tensors]) -> None:
    """Write `source` in half precision to `path`, unless a number would overflow.

    The float model's own numbers are looked at: this machine's CPU has few half-precision kernels,
    so ONNX Runtime computes most layers in float32 here and would hide an overflow.

    Args:
        source: a float32 ONNX file.
        path: the file, replaced atomically.
        inputs: samples of the model's input shape.

    Raises:
        ExportError: a weight or an activation is beyond 65504 or not finite; the layer is named.
        RunFolderError: the file cannot be written.
    """
    model = load_graph(source)
    _check_weights(model, source)
    _check_activations(model, source, inputs)
    with refusing(str(source), "cannot be converted to fp16"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        converted = convert_float_to_float16(load_graph(source), keep_io_types=True)
        ONNXModel(converted).topological_sort()
        onnx.checker.check_model(converted)
    with replacing(path) as temporary:
        onnx.save(converted, temporary)


def _check_weights(model: ModelProto, source: Path) -> None:
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            _check(numpy_helper.to_array(tensor), f"weight {tensor.name}", source)


def _check_activations(model: ModelProto, source: Path, inputs: Iterable[Tensors]) -> None:
    present = {output.name for output in model.graph.output}
    floats = [
        value
        for value in model.graph.value_info
        if value.type.tensor_type.elem_type == TensorProto.FLOAT and value.name not in present
    ]
    model.graph.output.extend(floats)
    makers = {name: node.name for node in model.graph.node for name in node.output}
    session = open_session(model.SerializeToString(), str(source))
    # In the order they run, so that the layer named is the first.
    order = {name: place for place, name in enumerate(makers)}
    names = sorted((output.name for output in session.get_outputs()), key=lambda n: order[n])
    file = FileModel(session, str(source))
    for sample in inputs:
        for name, value in file.values(sample, names).items():
            _check(value, f"layer {makers[name]}", source)


def _check(values: np.ndarray, what: str, source: Path) -> None:
    largest = float(np.abs(values).max(initial=0.0))
    if not largest <= LARGEST:
        reach = f"reaches {largest:.3g}" if np.isfinite(largest) else "is not finite"
        raise ExportError(
            f"{what} {reach}, fp16 ends at {LARGEST:g}",
            where=str(source),
            hint="keep fp32, or scale the model's weights or inputs down",
        )
