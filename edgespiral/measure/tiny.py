"""Tiny models whose only purpose is to be timed."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from edgespiral.core.system.files import replacing
from edgespiral.measure.runtimes.module_files import SOURCE, WEIGHTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

CHANNELS, SIZE, LAYERS = 16, 32, 4
MODULE = f"""from pathlib import Path

from safetensors.torch import load_file
from torch import nn


def load(weights=Path(__file__).with_name({WEIGHTS!r})):
    layers = [nn.Conv2d({CHANNELS}, {CHANNELS}, 3, padding=1, bias=False) for _ in range({LAYERS})]
    model = nn.Sequential(*layers)
    model.load_state_dict(load_file(weights))
    return model.eval()
"""


def write_tiny_model(path: Path) -> Path:
    """Write a model of a few 3x3 convolutions, which takes a fraction of a millisecond."""
    return write_convolutions(path, [CHANNELS] * (LAYERS + 1), SIZE)


def write_tiny_module(folder: Path) -> None:
    """Write the module of `write_tiny_model`, `model.py` with its weights, into a folder."""
    import numpy as np
    from safetensors.numpy import save

    kernels = list(_kernels([CHANNELS] * (LAYERS + 1)))
    weights = {f"{at}.weight": np.ascontiguousarray(k) for at, k in enumerate(kernels)}
    with replacing(folder / WEIGHTS) as temporary:
        temporary.write_bytes(save(weights))
    with replacing(folder / SOURCE) as temporary:
        temporary.write_text(MODULE, encoding="utf-8")


def write_convolutions(path: Path, channels: Sequence[int], size: int) -> Path:
    """Write a chain of 3x3 convolutions on `size` x `size` positions.

    Args:
        path: of the ONNX file.
        channels: of the input, then of what each layer gives.
        size: height and width throughout.

    Raises:
        RunFolderError: it cannot be written.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes, weights = [], []
    for layer, weight in enumerate(_kernels(channels)):
        inputs = [f"x{layer}", f"w{layer}"]
        nodes.append(helper.make_node("Conv", inputs, [f"x{layer + 1}"], pads=[1, 1, 1, 1]))
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


def _kernels(channels: Sequence[int]) -> Iterator[NDArray[Any]]:
    """The weights of a chain of 3x3 convolutions, the same every time."""
    import numpy as np

    random = np.random.default_rng(0)
    for cin, cout in pairwise(channels):
        # Sums of 9 * cin products keep their size: nothing overflows or becomes subnormal.
        yield random.normal(0, (9 * cin) ** -0.5, (cout, cin, 3, 3)).astype(np.float32)
