"""What ncnn ships models with: a text of layers and a file of weights."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from edgespiral.core.system.files import writing
from edgespiral.core.system.temporary import work_folder
from edgespiral.measure.kits.base import Kit, KitModel, Port
from edgespiral.measure.runtimes.ncnn import convert

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edgespiral.core.records.measurement import Fingerprint
    from edgespiral.measure.kits.base import Shapes

LIBRARY = (
    "`-DCMAKE_PREFIX_PATH=FOLDER`, where ncnn's source was built and installed; its Python package "
    "has neither library nor headers, and its source archive has all that CMake needs"
)


def kit(fingerprint: Fingerprint) -> Kit:
    """With as many threads as a figure was measured with."""
    options = {"threads": str(fingerprint.threads)}
    return Kit("ncnn", ("ncnn",), LIBRARY, Path(__file__).parent, converted, options)


def converted(model: Path, folder: Path, shapes: Shapes) -> KitModel:
    """The model as `NAME.ncnn.param` and `NAME.ncnn.bin`.

    Raises:
        MissingExtraError: pnnx is not installed here.
        ModelError: it is not of float32, or pnnx cannot convert it.
    """
    file = f"{model.stem}.ncnn.param"
    with work_folder() as work:
        conversion = convert.converted(model, work, shapes)
        goals = {convert.PARAM: file, convert.WEIGHTS: f"{model.stem}.ncnn.bin"}
        for source, name in goals.items():
            with writing(folder / name):
                shutil.copyfile(conversion.files[source], folder / name)
        inputs, outputs = (conversion.about[key] for key in ("inputs", "outputs"))
        axes = conversion.about["axes"]
    assert isinstance(inputs, dict)
    assert isinstance(outputs, list)
    assert isinstance(axes, dict)
    return KitModel(file, _ports("in", inputs, axes), _ports("out", outputs, axes))


def _ports(way: str, names: Iterable[str], axes: dict[str, int | None]) -> tuple[Port, ...]:
    return tuple(
        Port(name, f"{way}{place}", axes.get(f"{way}{place}", 0))
        for place, name in enumerate(names)
    )
