"""ExecuTorch programs of the PyTorch modules that runs have beside their ONNX files."""

from __future__ import annotations

import json
import re
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgespiral.core.errors import MissingExtraError, ModelError, TargetError, first_few
from edgespiral.measure.runtimes.converting import (
    Converted,
    described,
    float_inputs,
    read_proto,
    run_converter,
)

if TYPE_CHECKING:
    from edgespiral.measure.model_files import ModuleFiles
    from edgespiral.measure.runtimes.converting import Subject

PACKAGE = "executorch"
LOWERING = Path(__file__).with_name("lowering.py")
PROGRAM, LOWERED = "model.pte", "lowered.json"
# Where the export keeps which tuple or dict a model's inputs are.
FORM = "edgespiral.inputs"
# What a delegate must run itself; all else is reshaping, splitting and the like.
HEAVY = re.compile(r"conv|linear|mm\b|mm\.|matmul|lstm|gru")


def converted(subject: Subject, module: ModuleFiles, folder: Path) -> Converted:
    """Make a program of a module for XNNPACK, in `folder`.

    Args:
        subject: the ONNX file, which says what inputs and outputs are called.
        module: that it was exported from.
        folder: where the file is put.

    Raises:
        MissingExtraError: ExecuTorch is not installed here.
        ModelError: the file is not of float32, has no fixed shape, or the module cannot be
            exported.
        TargetError: XNNPACK leaves layers with weights to other kernels.
    """
    model = subject.model
    inputs = float_inputs(model, subject.shapes, "ExecuTorch")
    if find_spec(PACKAGE) is None:
        raise MissingExtraError("the runtime executorch", "executorch")
    for file in (module.source, module.weights):
        shutil.copy(file, folder / file.name)
    request = {"shapes": [list(shape) for shape in inputs.values()], "keywords": _keywords(model)}
    (folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
    command = [sys.executable, "-I", str(LOWERING), str(folder / "request.json")]
    run_converter("ExecuTorch", command, folder, (PROGRAM, LOWERED), model)
    lowered = json.loads((folder / LOWERED).read_text(encoding="utf-8"))
    _require_whole(lowered["left"], model)
    kernels = ["XNNPACK"] if lowered["delegates"] else []
    kernels += ["portable"] if lowered["left"] else []
    about = {**described(model, inputs), "kernels": kernels}
    return Converted({PROGRAM: folder / PROGRAM}, about)


def _keywords(model: Path) -> list[str]:
    """The names by which the module takes its inputs; none where it takes them in a row."""
    metadata = {entry.key: entry.value for entry in read_proto(model).metadata_props}
    form = json.loads(metadata[FORM])["form"] if FORM in metadata else None
    values = list(form.values() if isinstance(form, dict) else form or ())
    if any(isinstance(value, dict | list) for value in values):
        raise ModelError("ExecuTorch is given no inputs inside of others", where=str(model))
    return list(form) if isinstance(form, dict) else []


def _require_whole(left: list[dict[str, Any]], model: Path) -> None:
    """Refuse a program of which the delegate runs not all layers with weights."""
    heavy = [node for node in left if HEAVY.search(node["operator"])]
    if heavy:
        names = [f"{node['layer'] or 'no layer'} ({node['operator']})" for node in heavy]
        raise TargetError(
            f"XNNPACK leaves {len(heavy)} of its layers to other kernels: {first_few(names)}",
            where=str(model),
            hint="name another runtime",
        )
