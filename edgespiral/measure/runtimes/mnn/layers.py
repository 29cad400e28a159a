"""What MNN's operators took, as the layers of the ONNX file that they were made of."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from edgespiral.measure.runtimes.weighted_layers import WeightedLayer

    Json = dict[str, Any]

# What MNN appends to the output of a product that it computes as a convolution, and to that of a
# layer which it computes in several steps.
AS_CONVOLUTION = "__matmul_converted"
STEP = re.compile(r"_raster_\d+$")
# Of these all steps are the layer; of others they bring its values into another order.
IN_STEPS = ("lstm", "gru", "rnn")


def layer_times(nodes: Iterable[Json], layers: Sequence[WeightedLayer]) -> list[Json]:
    """The weighted layers in the order that they ran, with their mean time.

    Args:
        nodes: of each operator its `name`, which is made of that of the output that it gives, and
            its `mean_us`.
        layers: of the ONNX file.
    """
    by_output = {layer.output: layer for layer in layers}
    spent_ms: dict[str, float] = {}
    for node in nodes:
        output = STEP.sub("", node["name"]).removesuffix(AS_CONVOLUTION)
        layer = by_output.get(output)
        is_step = STEP.search(node["name"]) is not None
        if layer is not None and (not is_step or layer.operator in IN_STEPS):
            spent_ms[output] = spent_ms.get(output, 0.0) + float(node["mean_us"]) / 1e3
    return [by_output[output].timed(ms).model_dump(mode="json") for output, ms in spent_ms.items()]
