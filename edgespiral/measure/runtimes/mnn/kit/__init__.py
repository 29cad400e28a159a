"""What MNN ships models with: one file of its own."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from edgespiral.core.errors import ModelError, first_few
from edgespiral.core.system.files import writing
from edgespiral.core.system.temporary import work_folder
from edgespiral.measure.kits.base import Kit, KitModel, Port
from edgespiral.measure.model_files import read_proto
from edgespiral.measure.runtimes.mnn import convert

if TYPE_CHECKING:
    from edgespiral.core.records.measurement import Fingerprint
    from edgespiral.measure.kits.base import Shapes

LIBRARY = (
    "`-DMNN_ROOT=FOLDER`, with `include/` and `lib/` of MNN's release or of a build of its source; "
    "its Python package has no headers"
)
# What a figure's precision says of weights that are stored in 8 bits.
INT8_WEIGHTS = "int8 weights"


def kit(fingerprint: Fingerprint) -> Kit:
    """With the threads, precision and weights that a figure was measured with."""
    inference, _, weights = fingerprint.precision.partition(" ")
    options = {"threads": str(fingerprint.threads), "precision": inference}
    stored = "int8" if weights == INT8_WEIGHTS else "fp32"
    ways = partial(converted, weights=stored)
    return Kit("MNN", ("MNN",), LIBRARY, Path(__file__).parent, ways, options)


def converted(model: Path, folder: Path, shapes: Shapes, *, weights: str) -> KitModel:
    """The model as `NAME.mnn`.

    Raises:
        MissingExtraError: MNN is not installed here.
        ModelError: it is not of float32, MNN cannot convert it, or an output is what a layer reads,
            which MNN does not give.
    """
    _require_ends(model)
    file = f"{model.stem}.mnn"
    with work_folder() as work:
        conversion = convert.converted(model, work, shapes, weights)
        with writing(folder / file):
            shutil.copyfile(conversion.files[convert.MODEL], folder / file)
    inputs, outputs = conversion.about["inputs"], conversion.about["outputs"]
    assert isinstance(inputs, dict)
    assert isinstance(outputs, list)
    return KitModel(
        file, *(tuple(Port(name, name) for name in names) for names in (inputs, outputs))
    )


def _require_ends(model: Path) -> None:
    graph = read_proto(model).graph
    read = {name for node in graph.node for name in node.input}
    inside = [value.name for value in graph.output if value.name in read]
    if inside:
        what = f"MNN gives no output that a layer of the model reads: {first_few(inside)}"
        raise ModelError(what, where=str(model), hint="ship it by another runtime")
