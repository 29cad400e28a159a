"""Which layers' rounding moves the outputs of an int8 model most."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.core.system.temporary import work_folder
from edgespiral.export.graph import load_graph, weighted_layers
from edgespiral.export.parity import Reference

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgespiral.export.int8.calibration import Calibrated


def damages(
    calibrated: Calibrated, progress: Callable[[int, int, str], None] | None = None
) -> list[tuple[str, float]]:
    """What each layer's rounding does to the outputs on its own, most first.

    Of a model in which that layer alone is in int8, with the tensors that it reads and makes: its
    mean divergence from the float model on the calibration samples, in nats. The
    other way round, with that layer alone in float, a tensor that rounding spoils would not show:
    the layer at its other end keeps it rounded.

    Args:
        progress: called before each layer with how many were tried, how many there are, its name.

    Raises:
        ExportError: a file cannot be written or run.
    """
    reference = Reference(calibrated.source, calibrated.samples.inputs, calibrated.task)
    with work_folder() as folder:
        path = folder / "model.onnx"
        stay = calibrated.write(path)
        names = [node.name for node in weighted_layers(load_graph(calibrated.source))]
        layers = [layer for layer in names if layer not in stay]
        by_layer = []
        for number, layer in enumerate(layers):
            if progress is not None:
                progress(number, len(layers), layer)
            calibrated.write(path, [other for other in layers if other != layer])
            by_layer.append((layer, reference.divergence_nats(path)))
    return sorted(by_layer, key=lambda pair: -pair[1])
