"""Which layers' rounding moves the outputs of an int8 model most."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.core.temporary import work_folder
from edgespiral.export.graph import load_graph, weighted_layers
from edgespiral.export.parity import Reference

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from edgespiral.export.int8.calibration import Calibrated


def damages(
    made: Calibrated,
    kept: Collection[str],
    progress: Callable[[int, int, str], None] | None = None,
) -> list[tuple[str, float]]:
    """What each layer's rounding adds to the outputs' divergence, most first.

    Of an int8 model in which the layers `kept` are in float: its mean Kullback-Leibler divergence
    from the float model on the calibration samples, less that with one layer more in float, in
    nats. A layer on its own would miss that errors add up.

    Args:
        progress: called before each layer with how many were tried, how many there are, its name.

    Raises:
        ExportError: a file cannot be written or run.
    """
    reference = Reference(made.source, made.samples.inputs)
    with work_folder() as folder:
        path = folder / "model.onnx"
        stay = set(made.write(path, kept))
        whole = reference.divergence_nats(path)
        layers = [layer for layer in _layers(made) if layer not in stay]
        found = []
        # The last layer in int8 cannot be tried: without it nothing is left to quantise.
        for number, layer in enumerate(layers if len(layers) > 1 else ()):
            if progress is not None:
                progress(number, len(layers), layer)
            made.write(path, {*kept, layer})
            found.append((layer, whole - reference.divergence_nats(path)))
    return sorted(found, key=lambda pair: -pair[1])


def _layers(made: Calibrated) -> Iterator[str]:
    return (node.name for node in weighted_layers(load_graph(made.source)))
