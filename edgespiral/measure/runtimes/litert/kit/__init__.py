"""What LiteRT ships models with: one file, made of the module that a run has beside its own."""

from __future__ import annotations

import shutil
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from edgespiral.core.errors import MissingExtraError
from edgespiral.core.system.files import writing
from edgespiral.core.system.temporary import work_folder
from edgespiral.measure.kits.base import Kit, KitModel, Port
from edgespiral.measure.runtimes.conversions import Subject
from edgespiral.measure.runtimes.litert import convert
from edgespiral.measure.runtimes.litert.settings import LiteRtFileSettings
from edgespiral.measure.runtimes.module_files import module_beside

if TYPE_CHECKING:
    from edgespiral.core.records.measurement import Fingerprint
    from edgespiral.measure.kits.base import Shapes

PACKAGE = "ai_edge_litert"
LIBRARY = (
    "`-DLITERT_ROOT=FOLDER`, with `include/tensorflow/lite/c/` and a library of LiteRT's C API, "
    "built with XNNPACK (`libtensorflowlite_c` of its source, or a system's `libtensorflow-lite`); "
    "its Python package has no headers"
)


def kit(fingerprint: Fingerprint) -> Kit:
    """With the threads and the weights that a figure was measured with."""
    weights: Literal["fp32", "int8"] = (
        "int8" if fingerprint.precision.startswith("int8") else "fp32"
    )
    ways = partial(converted, settings=LiteRtFileSettings(kind="litert", weights=weights))
    options = {"threads": str(fingerprint.threads)}
    return Kit("LiteRT", ("ai-edge-litert",), LIBRARY, Path(__file__).parent, ways, options)


def converted(
    model: Path, folder: Path, shapes: Shapes, *, settings: LiteRtFileSettings
) -> KitModel:
    """The model as `NAME.tflite`.

    Raises:
        MissingExtraError: LiteRT or its converter is not installed here.
        ModelError: there is no module beside it, it is not of float32, or cannot be converted.
    """
    if find_spec(PACKAGE) is None:
        raise MissingExtraError("the runtime litert", "litert")
    file = f"{model.stem}.tflite"
    with work_folder() as work:
        made = convert.converted(Subject(model, shapes, module_beside(model)), work, settings)
        with writing(folder / file):
            shutil.copyfile(made.files[convert.MODEL], folder / file)
    inputs, outputs, into, out = (
        made.about[key] for key in ("inputs", "outputs", "input_ports", "output_ports")
    )
    return KitModel(file, _ports(inputs, into), _ports(outputs, out))


def _ports(names: object, ports: object) -> tuple[Port, ...]:
    assert isinstance(names, dict | list)
    assert isinstance(ports, list)
    return tuple(Port(name, port) for name, port in zip(names, ports, strict=True))
