"""ONNX files as MNN reads them, by the converter that is in its Python package.

That is an extension module, which is called in a process of its own. The program `mnnconvert` that
the package installs is never run: it installs another package and reports its use to its makers.
"""

from __future__ import annotations

import re
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

from edgespiral.core.errors import MissingExtraError, ModelError, first_few
from edgespiral.measure.runtimes.conversions import Converted
from edgespiral.measure.runtimes.converting import copied, described, float_inputs, run_converter
from edgespiral.measure.runtimes.operators import layers_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

EXTENSION = "_tools"
PROGRAM = "import sys, {extension}; {extension}.mnnconvert(sys.argv)"
MODEL = "model.mnn"
# LSTM and GRU layers stay whole, since a session cannot run the loops that they become otherwise.
OPTIONS = ("--bizCode", "MNN", "--useOriginRNNImpl", "--useGeluApproximation", "0")
# What MNN is not told for weights in float32.
WEIGHTS = {"fp32": (), "int8": ("--weightQuantBits", "8")}
LACKING = re.compile(r"These Op Not Support:\s*(.*)")


def converted(
    model: Path, folder: Path, shapes: Mapping[str, Sequence[int]], weights: str = "fp32"
) -> Converted:
    """Convert an ONNX file of float32 into `folder`.

    Args:
        model: the file.
        folder: where the file is put.
        shapes: of inputs that have no fixed one, by name; "" is the only input.
        weights: how they are stored, `fp32` or `int8`.

    Raises:
        MissingExtraError: MNN is not installed here.
        ModelError: the model is not of float32, has no fixed shape, or MNN cannot convert it;
            operators that it lacks are named with their layers.
    """
    inputs = float_inputs(model, shapes, "MNN")
    if find_spec(EXTENSION) is None:
        raise MissingExtraError("the runtime mnn", "mnn")
    command = [sys.executable, "-I", "-c", PROGRAM.format(extension=EXTENSION), "-f", "ONNX"]
    command += ["--modelFile", copied(model, folder).name, "--MNNModel", MODEL]
    printed = run_converter("MNN", [*command, *OPTIONS, *WEIGHTS[weights]], folder, (), model)
    _require_operators(printed, model)
    if not (folder / MODEL).is_file():
        raise ModelError(f"MNN cannot convert it: {_last(printed)}", where=str(model))
    return Converted({MODEL: folder / MODEL}, described(model, inputs))


def _require_operators(printed: str, model: Path) -> None:
    """Refuse a model with operators that the converter says MNN lacks."""
    lacking = LACKING.search(printed)
    if lacking is None:
        return
    kinds = set(re.findall(r"ONNX::(\w+)", lacking[1]))
    what = f"MNN has no operator {', '.join(sorted(kinds))}: {first_few(layers_of(kinds, model))}"
    raise ModelError(what, where=str(model), hint="name another runtime")


def _last(printed: str) -> str:
    return next(reversed(printed.strip().splitlines()), "without a word")
