"""Sizes for a model's inputs that leave some open, by the names of their open dimensions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.core.errors import ModelError, UsageError
from edgespiral.core.onnx_graph import fed_inputs
from edgespiral.measure.model_files import read_proto

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from onnx import ValueInfoProto


def free_dimensions(model: Path, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
    """The size of each open dimension of `model`, for tools that take them one by one.

    Args:
        model: an ONNX file.
        shapes: of inputs by name; "" is the only input.

    Raises:
        ModelError: it is no model, or a dimension is open without a shape or a name.
        UsageError: a shape is for no input, or contradicts the model or another one.
    """
    inputs = {value.name: value for value in _inputs(model)}
    named = {name or _only(inputs, model): shape for name, shape in shapes.items()}
    for name in named.keys() - inputs.keys():
        raise UsageError(f"no input called {name}", where=str(model), hint=_by_name(inputs))
    sizes: dict[str, int] = {}
    for name, value in inputs.items():
        for dimension, size in _open(value, named.get(name), model).items():
            if sizes.setdefault(dimension, size) != size:
                what = f"{dimension} cannot be {sizes[dimension]} and {size} at once"
                raise UsageError(what, where=str(model), hint="give shapes that agree")
    return sizes


def _inputs(model: Path) -> list[ValueInfoProto]:
    return fed_inputs(read_proto(model).graph)


def _only(inputs: Mapping[str, object], model: Path) -> str:
    if len(inputs) != 1:
        raise UsageError("has several inputs", where=str(model), hint=_by_name(inputs))
    return next(iter(inputs))


def _by_name(inputs: Mapping[str, object]) -> str:
    return f"give a shape by name: {', '.join(inputs)}"


def _open(value: ValueInfoProto, shape: tuple[int, ...] | None, model: Path) -> dict[str, int]:
    """The open dimensions of one input, with the sizes that `shape` gives them."""
    dimensions = value.type.tensor_type.shape.dim
    written = "x".join(
        str(dimension.dim_value or dimension.dim_param or "?") for dimension in dimensions
    )
    if shape is None:
        if all(dimension.dim_value for dimension in dimensions):
            return {}
        what = f"input {value.name!r} has no fixed shape: {written}"
        hint = "give one: --shape 1x3x224x224, or NAME:1x3x224x224"
        raise ModelError(what, where=str(model), hint=hint)
    pairs = list(zip(dimensions, shape, strict=False))
    if len(dimensions) != len(shape) or any(
        dimension.dim_value not in (0, size) for dimension, size in pairs
    ):
        text = "x".join(map(str, shape))
        raise UsageError(f"input {value.name!r} is {written}, not {text}", where=str(model))
    sizes = {dimension.dim_param: size for dimension, size in pairs if not dimension.dim_value}
    if "" in sizes:
        what = f"input {value.name!r} has an open size without a name: {written}"
        raise ModelError(what, where=str(model), hint="name it, or fix it, in the ONNX file")
    return sizes
