"""What the exporters need to know of an ONNX graph."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx
import onnx.version_converter
import onnxruntime
from onnx.external_data_helper import ExternalDataInfo, uses_external_data

from edgespiral.core.errors import EdgeSpiralError, ExportError, ModelError
from edgespiral.core.onnx_graph import EXTERNAL_MARK, STANDARD, all_tensors, fed_inputs, normalise
from edgespiral.core.system.files import require_room, sha256_files
from edgespiral.core.text import words_of
from edgespiral.export.file_model import OUTPUTS, FileModel

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from onnx import ModelProto, NodeProto, ValueInfoProto

    from edgespiral.core.nested import Tensors

MULTIPLIES = ("Conv", "ConvTranspose", "Gemm", "MatMul")
RECURRENT = ("LSTM", "GRU", "RNN")
SAME_NAME = "two nodes with same node name"
# The first in which quantising nodes take a scale for each channel.
CHANNEL_SCALES_OPSET = 13


def load_graph(path: Path) -> ModelProto:
    """The model at `path` in the form that `normalise` gives, with its tensors' shapes inferred.

    Raises:
        ModelError: it cannot be read.
    """
    try:
        model = normalise(_with_channel_scales(onnx.load(path)))
        return onnx.shape_inference.infer_shapes(model)
    except Exception as error:  # protobuf's own, which has no public home
        raise ModelError("cannot be read as an ONNX model", where=str(path)) from error


def file_sha256(path: Path) -> str:
    """Hex SHA-256 of an ONNX file and of those beside it that have its weights (`sha256_files`).

    Raises:
        ModelError: it cannot be read, or weights are missing.
    """
    files = {path.name: path}
    try:
        if EXTERNAL_MARK in path.read_bytes():
            graph = onnx.load(path, load_external_data=False).graph
            for tensor in filter(uses_external_data, all_tensors(graph)):
                name = ExternalDataInfo(tensor).location
                files[name] = path.parent / name
        return sha256_files(files)
    except Exception as error:  # protobuf's own, which has no public home
        raise ModelError("cannot be read as an ONNX model", where=str(path)) from error


def opset(model: ModelProto) -> int:
    """The version of the standard operators that a model is written in."""
    return max(
        (entry.version for entry in model.opset_import if entry.domain in STANDARD), default=0
    )


def _with_channel_scales(model: ModelProto) -> ModelProto:
    """The model in an opset that has a scale for each channel, where it can be had."""
    if opset(model) >= CHANNEL_SCALES_OPSET:
        return model
    try:
        return onnx.version_converter.convert_version(model, CHANNEL_SCALES_OPSET)
    # The converter's own, which have no common base; who needs the opset asks for it.
    except Exception:
        return model


def input_shapes(model: ModelProto, where: str) -> dict[str, tuple[int, ...]]:
    """The shape of each input (batch included) by name; an open batch counts as 1.

    Raises:
        ExportError: no input, or one whose size is not fixed.
    """
    shapes = {value.name: _fixed_shape(value, where) for value in fed_inputs(model.graph)}
    if not shapes:
        raise ExportError("has no inputs", where=where)
    return shapes


def _fixed_shape(model_input: ValueInfoProto, where: str) -> tuple[int, ...]:
    dimensions = model_input.type.tensor_type.shape.dim
    shape = [dimension.dim_value for dimension in dimensions]
    if shape and not dimensions[0].HasField("dim_value"):
        shape[0] = 1
    if not shape or min(shape) < 1:
        raise ExportError(
            f"its input {model_input.name} has no fixed shape",
            where=where,
            hint="export it with fixed sizes; edgespiral export does",
        )
    return tuple(shape)


def weighted_layers(model: ModelProto) -> list[NodeProto]:
    """The nodes that multiply with weights, in the order they run."""
    stored = {tensor.name for tensor in model.graph.initializer}
    return [
        node
        for node in model.graph.node
        if node.domain in STANDARD
        and (
            node.op_type in RECURRENT
            or (node.op_type in MULTIPLIES and not stored.isdisjoint(node.input[1:2]))
        )
    ]


def open_session(model: Path | bytes, where: str) -> onnxruntime.InferenceSession:
    """The model, unoptimised, on this machine's CPU.

    Raises:
        ExportError: ONNX Runtime cannot load it.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    with refusing(where, "ONNX Runtime cannot load it"):
        return cpu_session(model, options)


def cpu_session(
    model: Path | bytes, options: onnxruntime.SessionOptions
) -> onnxruntime.InferenceSession:
    """The model on this machine's CPU; nodes of one name, which ONNX Runtime refuses, get others.

    Raises:
        Exception: ONNX Runtime's own, which have no common base.
    """
    source, providers = model if isinstance(model, bytes) else str(model), ["CPUExecutionProvider"]
    try:
        return onnxruntime.InferenceSession(source, options, providers=providers)
    except Exception as error:
        if isinstance(model, bytes) or SAME_NAME not in str(error):
            raise
        named = load_graph(model).SerializeToString()
        return onnxruntime.InferenceSession(named, options, providers=providers)


def tapped(model: ModelProto, names: Sequence[str], where: str) -> onnxruntime.InferenceSession:
    """As `open_session`, of a model that gives the tensors `names` too.

    Raises:
        ExportError: ONNX Runtime cannot load it.
    """
    present = {output.name for output in model.graph.output}
    for name in dict.fromkeys(names):
        if name not in present:
            model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    return open_session(model.SerializeToString(), where)


def write_tapped(source: Path, file: Path) -> dict[str, str]:
    """Write a model whose outputs are those of the layers with weights, in the order they run.

    Layers whose outputs have not the size in front that an input has are left out.

    Args:
        source: an ONNX file.
        file: where the other is put.

    Returns:
        Each layer's name by its output; empty, and nothing is written, where there is none.

    Raises:
        ModelError: `source` cannot be read.
    """
    model = load_graph(source)
    values = {value.name: value for value in (*model.graph.value_info, *model.graph.output)}
    batches = {_first_size(value) for value in fed_inputs(model.graph)}
    batched = {name for name, value in values.items() if _first_size(value) in batches - {None}}
    named = [(node.output[0], node.name) for node in weighted_layers(model)]
    layers = {output: name for output, name in named if output in batched}
    del model.graph.output[:]
    model.graph.output.extend(values[output] for output in layers)
    # They say which tuple or dict the outputs are that it had.
    properties = {entry.key: entry.value for entry in model.metadata_props if entry.key != OUTPUTS}
    onnx.helper.set_model_props(model, properties)
    if layers:
        onnx.save(model, file)
    return layers


def _first_size(value: ValueInfoProto) -> int | str | None:
    """The first of a tensor's sizes, which is its batch, or what the file calls it."""
    first = next(iter(value.type.tensor_type.shape.dim), None)
    return None if first is None else first.dim_value or first.dim_param or None


def run_tapped(
    session: onnxruntime.InferenceSession, sample: Tensors, where: str
) -> dict[str, NDArray[Any]]:
    """All outputs of a model on one sample, by name.

    Raises:
        ExportError: it cannot be run on the sample.
    """
    return FileModel(session, where).values(sample)


@contextmanager
def refusing(where: str, what: str) -> Iterator[None]:
    """Any failure inside becomes one line: an ExportError with the reason.

    Raises:
        ExportError: something inside failed.
        RunFolderError: it did as there is no room for temporary files.
        OSError: the system's own errors are left as they are.
    """
    try:
        yield
    except (EdgeSpiralError, OSError):
        raise
    except Exception as error:
        require_room(Path(tempfile.gettempdir()))
        raise ExportError(f"{what}: {words_of(error)}", where=where) from error
