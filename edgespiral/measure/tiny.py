"""A tiny model whose only purpose is to be timed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.core.files import replacing

if TYPE_CHECKING:
    from pathlib import Path

CHANNELS, SIZE, LAYERS = 16, 32, 4


def write_tiny_model(path: Path) -> Path:
    """Write a model of a few 3x3 convolutions, which takes a fraction of a millisecond."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    shape = [1, CHANNELS, SIZE, SIZE]
    weight = np.random.default_rng(0).normal(0, 0.08, (CHANNELS, CHANNELS, 3, 3))
    nodes = [
        helper.make_node("Conv", [f"x{i}", "weight"], [f"x{i + 1}"], pads=[1, 1, 1, 1])
        for i in range(LAYERS)
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x0", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(f"x{LAYERS}", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(weight.astype(np.float32), "weight")],
    )
    opset = helper.make_opsetid("", 17)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=9)
    with replacing(path) as temporary:
        onnx.save(model, temporary)
    return path
