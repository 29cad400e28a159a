"""Runs the recorded sample by OpenVINO: `python example.py`; 0 if all is as recorded."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import openvino
from sample import Model, checked  # type: ignore[import-not-found]


def run(path: Path, model: Model, options: dict[str, str]) -> list[Any]:
    """The outputs of the model at `path` for inputs in its order."""
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": options["inference_precision"],
        "INFERENCE_NUM_THREADS": int(options["threads"]),
        "NUM_STREAMS": 1,
        "CPU_DENORMALS_OPTIMIZATION": True,
    }
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(path), "CPU", settings)
    request = compiled.create_infer_request()
    for place, values in enumerate(model.inputs.values()):
        request.set_input_tensor(place, openvino.Tensor(values))
    request.infer()
    return [request.get_output_tensor(i).data for i in range(len(compiled.outputs))]


if __name__ == "__main__":
    sys.exit(checked(Path(__file__).parent, run))
