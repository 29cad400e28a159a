"""PyTorch to ONNX."""

from __future__ import annotations

import copy
import logging
import re
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import onnx
import torch
from torch.onnx import symbolic_helper
from torch.onnx.utils import register_custom_op_symbolic, unregister_custom_op_symbolic

from edgespiral.core.errors import EdgeSpiralError, ExportError
from edgespiral.core.nested import filled, leaves, plain, template
from edgespiral.core.system.files import replacing
from edgespiral.export.file_model import (
    INPUT,
    INPUTS,
    OUTPUT,
    OUTPUTS,
    described,
    named,
    output_names,
)
from edgespiral.models.calling import call, input_names
from edgespiral.models.modes import evaluating
from edgespiral.models.tracing.plainer import Plainer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from torch import Tensor, nn

    from edgespiral.core.nested import Template, Tensors

# The first with layer normalisation as one operator, and the last that TensorRT 8.6 reads.
OPSET = 17
MOST_SHOWN = 200


def export_onnx(
    model: nn.Module,
    path: Path,
    *,
    input_shape: tuple[int, ...] = (),
    dtype: torch.dtype | None = None,
    batch: int = 1,
    example: Tensors | None = None,
    output: str = OUTPUT,
) -> None:
    """Write `model` to `path`, with fixed sizes.

    One input is called `input` and one output as its task says; several have the names of
    `forward`'s arguments and of the dict that it returns, or `output_0` and so on.

    The TorchScript exporter does it: 0.7 s for ResNet-50 where the exporter on `torch.export`
    takes 5.8 s, and the same one must make planning's candidates and what ships, so that what was
    measured before training is what runs after it.

    Args:
        model: a module that takes (N, *input_shape), or what `example` is; its mode is kept.
        path: the file, replaced atomically.
        input_shape: sizes of one input without the batch.
        dtype: of that input; int64 for token ids. That of the model's parameters if not given.
        batch: N.
        example: inputs of N samples, where there are several inputs.
        output: the name of the output, where it is one.

    Raises:
        ExportError: an operator has no ONNX form, or the file is not valid ONNX.
        RunFolderError: the file cannot be written.
    """
    if example is None or isinstance(example, torch.Tensor):
        example = _zeros(model, input_shape, dtype, batch) if example is None else example
        example = torch.zeros_like(example)
    try:
        with evaluating(model), replacing(path) as temporary, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _quietly_export(model, example, temporary, output)
            onnx.checker.check_model(str(temporary))
    except EdgeSpiralError:
        raise
    except Exception as error:
        raise ExportError(
            f"cannot be written as ONNX: {_reason(error)}", where=str(path)
        ) from error


class _UnwritableError(Exception):
    """The exporter's error, with the layer that it is about, if that is known."""


@contextmanager
def _graph_unprinted() -> Iterator[None]:
    """Keep the exporter from printing its graph where it fails; what it knows of a layer is told.

    Raises:
        _UnwritableError: whatever it fails with.
    """
    shown: list[Any] = []
    exporter: Any = torch._C
    prints, exporter._jit_onnx_log = exporter._jit_onnx_log, lambda *parts: shown.extend(parts)
    try:
        yield
    except Exception as error:
        reason = _reason(error)
        layer = next(filter(None, (_layer_of(reason, thing) for thing in shown)), "")
        raise _UnwritableError(f"{reason} (in {layer})" if layer else reason) from error
    finally:
        exporter._jit_onnx_log = prints


def _layer_of(reason: str, graph: object) -> str:
    """The innermost layer that makes the operator that `reason` speaks of; or empty."""
    for node in graph.nodes() if isinstance(graph, torch._C.Graph) else ():
        kind = node.kind().partition("::")[2]
        if re.search(rf"operator '?(aten::)?{kind}\b", reason, re.IGNORECASE):
            return str(node.scopeName()).rpartition("::")[2]
    return ""


def _reason(error: Exception) -> str:
    """The first line of what went wrong, without the values and the advice that torch adds."""
    line = (str(error).splitlines() or [type(error).__name__])[0]
    return re.split(r" \[Caused by|\. Please feel free", line)[0].strip()[:MOST_SHOWN]


def _zeros(
    model: nn.Module, shape: tuple[int, ...], dtype: torch.dtype | None, batch: int
) -> Tensor:
    first = next(model.parameters(), torch.empty(0))
    return torch.zeros(batch, *shape, device=first.device, dtype=dtype or first.dtype)


def _quietly_export(model: nn.Module, example: Tensors, path: Path, output: str) -> None:
    with torch.no_grad():
        outputs = call(model, example)
    is_one_input, is_one_output = (isinstance(v, torch.Tensor) for v in (example, outputs))
    parameter_names = set(model.state_dict())
    inputs = [INPUT] if is_one_input else named(input_names(model, example), parameter_names)
    own_names = [output] if is_one_output else output_names(outputs)
    outputs_named = named(own_names, parameter_names.union(inputs))
    flat = model if is_one_input and is_one_output else _flat(model, template(example))
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with _dims_from_the_front(), _graph_unprinted(), Plainer():
            torch.onnx.export(
                flat,
                tuple(leaves(example).values()),
                str(path),
                dynamo=False,
                opset_version=OPSET,
                input_names=inputs,
                output_names=outputs_named,
            )
    finally:
        logger.setLevel(level)
    forms = {} if is_one_input else {INPUTS: described(template(example), inputs)}
    if not is_one_output:
        forms[OUTPUTS] = described(template(outputs), outputs_named)
    if forms:
        written = onnx.load(path)
        onnx.helper.set_model_props(written, forms)
        onnx.save(written, path)


@contextmanager
def _dims_from_the_front() -> Iterator[None]:
    """Orders of dimensions are written counted from 0, as ONNX wants them.

    The exporter writes the negative dimensions of a `permute` or a `movedim` as they are.
    """
    written: dict[str, Callable[..., Any]] = {"aten::permute": _permuted, "aten::movedim": _moved}
    for name, function in written.items():
        register_custom_op_symbolic(name, function, OPSET)
    try:
        yield
    finally:
        for name in written:
            unregister_custom_op_symbolic(name, OPSET)


@symbolic_helper.parse_args("v", "is")
def _permuted(graph: Any, values: Any, dims: list[int]) -> Any:  # noqa: ANN401
    order = [dim % len(dims) for dim in dims]
    return values if order == sorted(order) else graph.op("Transpose", values, perm_i=order)


@symbolic_helper.parse_args("v", "t", "t")
def _moved(graph: Any, values: Any, source: Tensor, destination: Tensor) -> Any:  # noqa: ANN401
    rank = values.type().dim()
    ends = ((dims % rank).view(-1).tolist() for dims in (destination, source))
    places = dict(zip(*ends, strict=True))
    rest = iter(sorted(set(range(rank)) - set(places.values())))
    order = [places[dim] if dim in places else next(rest) for dim in range(rank)]
    return _permuted(graph, values, order)


def _flat(model: nn.Module, form: Template) -> nn.Module:
    """`model` with its inputs and outputs in a row, which shares its layers and their names."""
    alone = copy.copy(model)
    kind = type(alone)

    def forward(self: nn.Module, *tensors: Tensor) -> tuple[Any, ...]:
        arguments = filled(form, iter(tensors))
        if isinstance(arguments, dict):
            outputs = kind.forward(self, **arguments)
        else:
            outputs = kind.forward(
                self, *(arguments if isinstance(arguments, tuple) else (arguments,))
            )
        return tuple(leaves(plain(outputs)).values())

    alone.__class__ = type(kind.__name__, (kind,), {"forward": forward})
    return alone
