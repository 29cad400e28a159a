"""What goes into a model and what comes out: models that differ in it do not do the same work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.core.errors import ModelError
from edgespiral.core.onnx_graph import fed_inputs
from edgespiral.measure.model_files import is_engine, read_proto

if TYPE_CHECKING:
    from pathlib import Path

    from onnx import ModelProto, ValueInfoProto


def interface(path: Path) -> tuple[str, ...]:
    """Each input and output with its type and shape: `output y: float 1x10`.

    Shapes that the file does not state are inferred; what stays unknown is a `?`. Of an engine,
    which only its device can read, no more is known than that it is one.

    Raises:
        ModelError: the file is neither an ONNX model nor an engine.
    """
    if is_engine(path):
        return ("an engine that does not tell its inputs and outputs",)
    import onnx

    model = read_proto(path)
    try:
        inferred: ModelProto = onnx.shape_inference.infer_shapes(model)
    except Exception as error:  # the library's own, which have no common base
        raise ModelError("its shapes cannot be inferred", where=str(path)) from error
    graph = inferred.graph
    fed = [f"input {_described(value)}" for value in fed_inputs(graph)]
    return (*fed, *(f"output {_described(value)}" for value in graph.output))


def check_same(before: tuple[str, ...], now: tuple[str, ...], *, where: str) -> None:
    """Refuse to compare models whose inputs or outputs differ.

    Raises:
        ModelError: the first difference is named.
    """
    if before == now:
        return
    gone = [line for line in before if line not in now]
    new = [line for line in now if line not in before]
    was, has = gone[0] if gone else "other order", new[0] if new else "nothing in its place"
    raise ModelError(
        f"does not do the same work as its reference: was {was}, is {has}",
        where=where,
        hint="if that is meant, allow_interface_change = true lets it be",
    )


def _described(value: ValueInfoProto) -> str:
    from onnx import TensorProto

    tensor = value.type.tensor_type
    sizes = [
        str(size.dim_value) if size.HasField("dim_value") else (size.dim_param or "?")
        for size in tensor.shape.dim
    ]
    kind = TensorProto.DataType.Name(tensor.elem_type).lower()
    return f"{value.name}: {kind} {'x'.join(sizes) or 'scalar'}"
