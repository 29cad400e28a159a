"""Runs the recorded sample by MNN: `python example.py`; 0 if all is as recorded."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import MNN
import numpy as np
from sample import Model, checked  # type: ignore[import-not-found]

MODES = {"fp32": "high", "fp16": "low"}


def run(path: Path, model: Model, options: dict[str, str]) -> list[Any]:
    """The outputs of the model at `path`, for inputs by name."""
    net = MNN.Interpreter(str(path))
    config = {
        "backend": "CPU",
        "numThread": int(options["threads"]),
        "precision": MODES[options["precision"]],
    }
    session = net.createSession(config)
    inputs = net.getSessionInputAll(session)
    for name, values in model.inputs.items():
        net.resizeTensor(inputs[name], values.shape)
    net.resizeSession(session)
    for name, values in model.inputs.items():
        inputs[name].copyFrom(_tensor(values))
    if net.runSession(session):
        raise RuntimeError(f"MNN does not run {path.name}")
    outputs, arrays = net.getSessionOutputAll(session), []
    for name in model.outputs:
        host = _tensor(np.zeros(outputs[name].getShape(), np.float32))
        outputs[name].copyToHostTensor(host)
        arrays.append(np.array(host.getNumpyData()))
    return arrays


def _tensor(values: Any) -> Any:  # noqa: ANN401
    array = np.ascontiguousarray(values, np.float32)
    return MNN.Tensor(array.shape, MNN.Halide_Type_Float, array, MNN.Tensor_DimensionType_Caffe)


if __name__ == "__main__":
    sys.exit(checked(Path(__file__).parent, run))
