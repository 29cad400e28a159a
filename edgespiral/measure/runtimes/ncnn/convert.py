"""ONNX files as ncnn reads them: a text of layers and a file of weights, made by pnnx."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from edgespiral.core.errors import MissingExtraError
from edgespiral.measure.runtimes.conversions import Converted
from edgespiral.measure.runtimes.converting import copied, described, float_inputs, run_converter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PACKAGE = "pnnx"
PARAM, WEIGHTS, EXAMPLE = "model.ncnn.param", "model.ncnn.bin", "model_ncnn.py"
# What pnnx calls the axis of a batch that it has not found.
NO_BATCH = 233


def converted(model: Path, folder: Path, shapes: Mapping[str, Sequence[int]]) -> Converted:
    """Convert an ONNX file of float32 and batch 1 into `folder`.

    What an agent has to know of it is of inputs and outputs too which axis is the batch, which
    ncnn does not have; None where it has all.

    Args:
        model: the file.
        folder: where the files are put.
        shapes: of inputs that have no fixed one, by name; "" is the only input.

    Raises:
        MissingExtraError: pnnx is not installed here.
        ModelError: the model is not of float32, has no fixed shape, or pnnx cannot convert it.
    """
    inputs = float_inputs(model, shapes, "ncnn")
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise MissingExtraError("the runtime ncnn", "ncnn")
    written = ",".join(f"[{','.join(map(str, shape))}]f32" for shape in inputs.values())
    # The program itself: what the package starts it by adds nothing.
    command = [str(Path(spec.origin).with_name("pnnx")), copied(model, folder).name]
    command += [f"inputshape={written}", "fp16=0", "device=cpu"]
    run_converter("pnnx", command, folder, (PARAM, WEIGHTS, EXAMPLE), model)
    about = {**described(model, inputs), "axes": _batch_axes(folder / EXAMPLE)}
    return Converted({name: folder / name for name in (PARAM, WEIGHTS)}, about)


def _batch_axes(example: Path) -> dict[str, int | None]:
    """The batch axis of `in0`, `out0`, ... as pnnx's own example has it; those not told have 0.

    None: pnnx found no batch there, and ncnn has all axes.
    """
    text = example.read_text(encoding="utf-8")
    return {
        f"{way}{number}": None if int(axis) == NO_BATCH else int(axis)
        for way, number, axis in re.findall(
            r"\b(in|out)(\d+)\.numpy\((?:\),\s*)?batch_index=(\d+)", text
        )
    }
