"""The files that an ONNX model is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.core.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from onnx import ModelProto

    from edgespiral.core.schema import Precision

MODEL = "model.onnx"
# TensorRT's built engines, by the endings that are customary.
ENGINES = (".engine", ".plan", ".trt")
# The key under which ONNX keeps the name of a file with weights.
EXTERNAL_MARK = b"location"
# onnx.TensorProto.FLOAT16, without importing onnx.
FLOAT16 = 10


def find_model(path: Path) -> Path:
    """The model that `path` names: a file is itself, a run folder its `model.onnx`.

    Raises:
        ModelError: there is none.
    """
    file = path / MODEL if path.is_dir() else path
    if not file.is_file():
        what = f"no {MODEL} in this folder" if path.is_dir() else "no such file"
        raise ModelError(what, where=str(path), hint="name an ONNX file or the folder of a run")
    return file


def is_engine(path: Path) -> bool:
    """Whether this is the name of a TensorRT engine, which only TensorRT can read."""
    return path.suffix.lower() in ENGINES


def model_files(path: Path) -> dict[str, Path]:
    """The model's file and those of its weights that are kept beside it, by relative name.

    Raises:
        ModelError: one of them is missing, lies elsewhere, or the model cannot be read.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot be read: {error.strerror}", where=str(path)) from error
    found = {path.name: path}
    for name in external_names(content, path):
        part = path.parent / name
        if not part.resolve().is_relative_to(path.parent.resolve()) or not part.is_file():
            raise ModelError(f"the file of its weights is missing: {name}", where=str(path))
        found[name] = part
    return found


def pushed_models(models: Sequence[Path]) -> tuple[dict[str, Path], list[str]]:
    """All files of some models by the names that they get on a device, and the models' names.

    Raises:
        ModelError: as `model_files`.
    """
    pushed: dict[str, Path] = {}
    for index, model in enumerate(models):
        pushed |= {f"model-{index}/{name}": part for name, part in model_files(model).items()}
    return pushed, [f"model-{index}/{model.name}" for index, model in enumerate(models)]


def precision_of(path: Path) -> Precision:
    """The precision that a model's file is written in, by its operators and weights.

    Raises:
        ModelError: it cannot be read.
    """
    graph = model_proto(path.read_bytes(), path).graph
    if any(node.op_type in ("QuantizeLinear", "QLinearConv") for node in graph.node):
        return "int8"
    halves = any(tensor.data_type == FLOAT16 for tensor in graph.initializer)
    return "fp16" if halves else "fp32"


def external_names(content: bytes, path: Path) -> list[str]:
    """Names, relative to the model at `path` with this content, of the files with its weights.

    Raises:
        ModelError: it is neither an ONNX model nor an engine.
    """
    if is_engine(path) or EXTERNAL_MARK not in content:
        return []
    from onnx.external_data_helper import ExternalDataInfo, uses_external_data

    graph = model_proto(content, path).graph
    tensors = (tensor for tensor in graph.initializer if uses_external_data(tensor))
    return sorted({ExternalDataInfo(tensor).location for tensor in tensors})


def model_proto(content: bytes, path: Path) -> ModelProto:
    """The model in a file's content, without weights that are kept beside it.

    Raises:
        ModelError: it is not an ONNX model.
    """
    from onnx import load_model_from_string

    try:
        return load_model_from_string(content)
    except Exception as error:  # protobuf's own, which has no public home
        raise ModelError("is not an ONNX model", where=str(path)) from error
