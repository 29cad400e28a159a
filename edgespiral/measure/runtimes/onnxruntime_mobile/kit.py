"""What ships a model in ONNX Runtime's mobile format: the programs are ONNX Runtime's own."""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from edgespiral.core.system.files import writing
from edgespiral.core.system.temporary import work_folder
from edgespiral.measure.kits.base import KitModel
from edgespiral.measure.runtimes.onnxruntime import kit as onnxruntime
from edgespiral.measure.runtimes.onnxruntime_mobile.convert import (
    MODEL,
    OPERATORS,
    converted,
    platform_of,
)

if TYPE_CHECKING:
    from pathlib import Path

    from edgespiral.core.records.measurement import Fingerprint
    from edgespiral.measure.kits.base import Kit, Shapes
    from edgespiral.measure.runtimes.onnxruntime_mobile.convert import Platform

LIBRARY = (
    f"{onnxruntime.LIBRARY}. A build of ONNX Runtime that runs this model and little else is made "
    "from its source with `--minimal_build --include_ops_by_config NAME.required_operators.config`"
)


def kit(fingerprint: Fingerprint) -> Kit:
    """With as many threads as a figure was measured with, for the processor that it is of."""
    convert = partial(shipped, platform=platform_of(fingerprint.architecture))
    title = "ONNX Runtime's mobile format"
    return replace(onnxruntime.kit(fingerprint), title=title, library=LIBRARY, convert=convert)


def shipped(model: Path, folder: Path, shapes: Shapes, *, platform: Platform) -> KitModel:  # noqa: ARG001 (as `Kit.convert`)
    """The model as `NAME.ort`, with the list of its operators.

    Raises:
        ModelError: ONNX Runtime cannot convert it.
    """
    file = f"{model.stem}.ort"
    with work_folder() as work:
        conversion = converted(model, work, platform)
        goals = {MODEL: file, OPERATORS: f"{model.stem}.required_operators.config"}
        for source, name in goals.items():
            with writing(folder / name):
                shutil.copyfile(conversion.files[source], folder / name)
    return KitModel(file, *onnxruntime.ports(model))
