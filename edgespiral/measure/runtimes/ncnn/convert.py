"""ONNX files as ncnn reads them: a text of layers and a file of weights, made by pnnx."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from edgespiral.core.errors import MissingExtraError, ModelError
from edgespiral.core.onnx_graph import fed_inputs
from edgespiral.core.system.files import make_folder
from edgespiral.measure.model_files import model_content, model_files, model_proto, precision_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onnx import GraphProto

PACKAGE = "pnnx"
PARAM, WEIGHTS, EXAMPLE = "model.ncnn.param", "model.ncnn.bin", "model_ncnn.py"
LONGEST_S = 300
# onnx.TensorProto's.
FLOAT = 1


@dataclass(frozen=True)
class Converted:
    """A model in ncnn's files.

    Attributes:
        param, weights: the files.
        about: what an agent has to know: names and shapes of inputs, names of outputs, and of each
            the axis that is the batch, which ncnn does not have.
    """

    param: Path
    weights: Path
    about: dict[str, object]


def converted(model: Path, folder: Path, shapes: Mapping[str, Sequence[int]]) -> Converted:
    """Convert an ONNX file of float32 and batch 1 into `folder`.

    Args:
        model: the file.
        folder: where the files are put.
        shapes: of inputs that have no fixed one, by name; "" is the only input.

    Raises:
        MissingExtraError: pnnx is not installed here.
        ModelError: the model is not of float32, has no fixed shape, or pnnx cannot convert it.
    """
    if precision_of(model) != "fp32":
        hint = "convert its float32 file, or name another runtime"
        raise ModelError("ncnn is given files in float32 alone", where=str(model), hint=hint)
    graph = model_proto(model_content(model), model).graph
    inputs = _inputs(graph, model, shapes)
    for name, part in model_files(model).items():
        copy = folder / name
        make_folder(copy.parent)
        copy.write_bytes(part.read_bytes())
    source = (folder / model.name).rename(folder / "model.onnx")
    _run_pnnx(source, list(inputs.values()), model)
    axes = _batch_axes(folder / EXAMPLE)
    about: dict[str, object] = {
        "inputs": {name: list(shape) for name, shape in inputs.items()},
        "outputs": [value.name for value in graph.output],
        "axes": axes,
    }
    return Converted(folder / PARAM, folder / WEIGHTS, about)


def _inputs(
    graph: GraphProto, model: Path, shapes: Mapping[str, Sequence[int]]
) -> dict[str, tuple[int, ...]]:
    entries = fed_inputs(graph)
    sizes: dict[str, tuple[int, ...]] = {}
    for entry in entries:
        kind = entry.type.tensor_type
        written = tuple(size.dim_value for size in kind.shape.dim)
        shape = tuple(shapes.get(entry.name, shapes.get("", written)))
        if kind.elem_type != FLOAT:
            raise ModelError(
                f"ncnn takes no input as {entry.name!r}: not float32", where=str(model)
            )
        if not all(shape):
            hint = "give one: --shape 1x3x224x224, or NAME:1x3x224x224"
            what = f"input {entry.name!r} has no fixed shape"
            raise ModelError(what, where=str(model), hint=hint)
        sizes[entry.name] = shape
    return sizes


def _run_pnnx(source: Path, shapes: Sequence[Sequence[int]], model: Path) -> None:
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise MissingExtraError("the runtime ncnn", "ncnn")
    written = ",".join(f"[{','.join(map(str, shape))}]f32" for shape in shapes)
    # The program itself: what the package starts it by adds nothing.
    command = [str(Path(spec.origin).with_name("pnnx")), source.name]
    command += [f"inputshape={written}", "fp16=0", "device=cpu"]
    try:
        done = subprocess.run(  # noqa: S603 (the command is this package's own)
            command,
            cwd=source.parent,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=LONGEST_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ModelError(f"pnnx cannot convert it: {error}", where=str(model)) from error
    written_files = (PARAM, WEIGHTS, EXAMPLE)
    if done.returncode or not all((source.parent / name).is_file() for name in written_files):
        said = (done.stderr.strip() or done.stdout.strip()).splitlines() or ["without a word"]
        raise ModelError(f"pnnx cannot convert it: {said[-1][:300]}", where=str(model))


def _batch_axes(example: Path) -> dict[str, int]:
    """The batch axis of `in0`, `out0`, ... as pnnx's own example has it; those not told have 0."""
    text = example.read_text(encoding="utf-8")
    return {
        f"{way}{number}": int(axis)
        for way, number, axis in re.findall(
            r"\b(in|out)(\d+)\.numpy\((?:\),\s*)?batch_index=(\d+)", text
        )
    }
