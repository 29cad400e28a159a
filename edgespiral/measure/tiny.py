"""Tiny models whose only purpose is to be timed."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from edgespiral.core.system.files import replacing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

CHANNELS, SIZE, LAYERS = 16, 32, 4


def write_tiny_model(path: Path) -> Path:
    """Write a model of a few 3x3 convolutions, which takes a fraction of a millisecond."""
    return write_convolutions(path, [CHANNELS] * (LAYERS + 1), SIZE)


def write_convolutions(path: Path, channels: Sequence[int], size: int) -> Path:
    """Write a chain of 3x3 convolutions on `size` x `size` positions.

    Args:
        path: of the ONNX file.
        channels: of the input, then of what each layer gives.
        size: height and width throughout.

    Raises:
        RunFolderError: it cannot be written.
    """
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(0)
    nodes, weights = [], []
    for layer, (cin, cout) in enumerate(pairwise(channels)):
        inputs = [f"x{layer}", f"w{layer}"]
        nodes.append(helper.make_node("Conv", inputs, [f"x{layer + 1}"], pads=[1, 1, 1, 1]))
        # Sums of 9 * cin products keep their size: nothing overflows or becomes subnormal.
        weight = random.normal(0, (9 * cin) ** -0.5, (cout, cin, 3, 3)).astype(np.float32)
        weights.append(numpy_helper.from_array(weight, f"w{layer}"))
    ends = [("x0", channels[0]), (f"x{len(nodes)}", channels[-1])]
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, count, size, size])
        for name, count in ends
    ]
    graph = helper.make_graph(nodes, "convolutions", values[:1], values[1:], weights)
    opset = helper.make_opsetid("", 17)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=9)
    with replacing(path) as temporary:
        onnx.save(model, temporary)
    return path
