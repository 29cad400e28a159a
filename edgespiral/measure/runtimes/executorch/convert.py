"""ExecuTorch programs of the PyTorch modules that runs have beside their ONNX files."""

from __future__ import annotations

import json
import re
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgespiral.core.errors import MissingExtraError
from edgespiral.measure.runtimes.conversions import Converted
from edgespiral.measure.runtimes.converting import (
    described,
    float_inputs,
    require_layers_taken,
    run_converter,
    write_module_request,
)

if TYPE_CHECKING:
    from edgespiral.measure.runtimes.conversions import Subject

PACKAGE = "executorch"
LOWERING = Path(__file__).with_name("lowering.py")
PROGRAM, LOWERED = "model.pte", "lowered.json"
# What a delegate must run itself; all else is reshaping, splitting and the like.
HEAVY = re.compile(r"conv|linear|mm\b|mm\.|matmul|lstm|gru")


def converted(subject: Subject, folder: Path) -> Converted:
    """Make a program of a module for XNNPACK, in `folder`.

    Args:
        subject: the ONNX file, which says what inputs and outputs are called, and the module that
            it was exported from.
        folder: where the file is put.

    Raises:
        MissingExtraError: ExecuTorch is not installed here.
        ModelError: there is no module, the file is not of float32 or has no fixed shape, or the
            module cannot be exported.
        TargetError: XNNPACK leaves layers with weights to other kernels.
    """
    model = subject.model
    inputs = float_inputs(model, subject.shapes, "ExecuTorch")
    if find_spec(PACKAGE) is None:
        raise MissingExtraError("the runtime executorch", "executorch")
    request = write_module_request(subject, "ExecuTorch", inputs, folder)
    command = [sys.executable, "-I", str(LOWERING), str(request)]
    run_converter("ExecuTorch", command, folder, (PROGRAM, LOWERED), model)
    lowered = json.loads((folder / LOWERED).read_text(encoding="utf-8"))
    _require_whole(lowered["left"], model)
    kernels = ["XNNPACK"] if lowered["delegates"] else []
    kernels += ["portable"] if lowered["left"] else []
    about = {**described(model, inputs), "kernels": kernels}
    return Converted({PROGRAM: folder / PROGRAM}, about)


def _require_whole(left: list[dict[str, Any]], model: Path) -> None:
    """Refuse a program of which the delegate runs not all layers with weights."""
    named = ((node["layer"] or "no layer", node["operator"]) for node in left)
    require_layers_taken(named, HEAVY, model, "XNNPACK")
