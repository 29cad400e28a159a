"""What OpenVINO ships models with: its intermediate representation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgespiral.core.errors import MissingExtraError, ModelError
from edgespiral.core.onnx_graph import fed_inputs
from edgespiral.core.system.files import writing
from edgespiral.measure.kits.base import Kit, KitModel, Port
from edgespiral.measure.model_files import read_proto
from edgespiral.measure.runtimes.operators import with_layers

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from edgespiral.core.records.measurement import Fingerprint
    from edgespiral.measure.kits.base import Shapes

# What it calls the precisions that float files are computed in.
HINTS = {"bf16": "bf16", "fp16": "f16"}
LIBRARY = (
    '`-DOpenVINO_DIR=$(python -c "from openvino import utils; print(utils.get_cmake_path())")`: '
    "the Python package has the library and its headers"
)


def kit(fingerprint: Fingerprint) -> Kit:
    """With the threads and the precision that a figure was measured with."""
    precision = HINTS.get(fingerprint.precision, "f32")
    options = {"threads": str(fingerprint.threads), "inference_precision": precision}
    return Kit("OpenVINO", ("openvino",), LIBRARY, Path(__file__).parent, converted, options)


def converted(model: Path, folder: Path, shapes: Shapes) -> KitModel:
    """The model as `NAME.xml` and `NAME.bin`, its weights as they are and of fixed shapes.

    Raises:
        MissingExtraError: OpenVINO is not installed here.
        ModelError: it cannot read or write the model.
    """
    try:
        import openvino
    except ImportError as error:
        raise MissingExtraError("the runtime openvino", "openvino") from error
    graph = read_proto(model).graph
    goal = folder / f"{model.stem}.xml"
    try:
        own = openvino.Core().read_model(model)
        if own.is_dynamic():
            names = [value.name for value in fed_inputs(graph)]
            own.reshape({name: list(shapes[name]) for name in names})
        with writing(goal):
            openvino.save_model(own, goal, compress_to_fp16=False)
    except RuntimeError as error:
        reason = with_layers(" ".join(str(error).split())[:300], model)
        raise ModelError(f"OpenVINO cannot convert it: {reason}", where=str(model)) from error
    inputs = _ports(own.inputs, [value.name for value in fed_inputs(graph)])
    return KitModel(goal.name, inputs, _ports(own.outputs, [v.name for v in graph.output]))


def _ports(values: Iterable[Any], names: Sequence[str]) -> tuple[Port, ...]:
    """OpenVINO's own order; a value has all names that anything in the file calls it by."""
    ordered = []
    for place, value in enumerate(values):
        own = [name for name in names if name in value.get_names()]
        name = own[0] if len(own) == 1 else names[place]
        ordered.append(Port(name, name))
    return tuple(ordered)
