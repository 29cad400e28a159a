"""What ONNX Runtime ships models with: the ONNX file as it is."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from edgespiral.core.onnx_graph import fed_inputs
from edgespiral.core.system.files import make_folder, writing
from edgespiral.measure.kits.base import Kit, KitModel, Port
from edgespiral.measure.model_files import model_files, read_proto

if TYPE_CHECKING:
    from edgespiral.core.records.measurement import Fingerprint
    from edgespiral.measure.kits.base import Shapes

LIBRARY = (
    "`-DONNXRUNTIME_ROOT=FOLDER`, with `include/` and `lib/` of ONNX Runtime's release for your "
    "device; its Python package has no headers"
)


def kit(fingerprint: Fingerprint) -> Kit:
    """With as many threads as a figure was measured with."""
    options = {"threads": str(fingerprint.threads)}
    title, packages = "ONNX Runtime", ("onnxruntime",)
    return Kit(title, packages, LIBRARY, Path(__file__).parent, copied, options)


def copied(model: Path, folder: Path, shapes: Shapes) -> KitModel:  # noqa: ARG001 (as `Kit.convert`)
    """The file, and those of weights beside it."""
    for name, file in model_files(model).items():
        goal = folder / name
        make_folder(goal.parent)
        with writing(goal):
            shutil.copyfile(file, goal)
    return KitModel(model.name, *ports(model))


def ports(model: Path) -> tuple[tuple[Port, ...], tuple[Port, ...]]:
    """Inputs and outputs of an ONNX file, which have the same names in ONNX Runtime."""
    graph = read_proto(model).graph
    inputs, outputs = (
        tuple(Port(value.name, value.name) for value in values)
        for values in (fed_inputs(graph), graph.output)
    )
    return inputs, outputs
