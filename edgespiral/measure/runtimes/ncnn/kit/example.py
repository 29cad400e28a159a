"""Runs the recorded sample by ncnn: `python example.py`; 0 if all is as recorded."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import ncnn
import numpy as np
from sample import Model, checked  # type: ignore[import-not-found]

# ncnn's own default is to keep and to compute in 16 bits what it can.
LOWERED = (
    *("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic"),
    *("use_bf16_storage", "use_bf16_packed", "use_vulkan_compute"),
)


def run(path: Path, model: Model, options: dict[str, str]) -> list[Any]:
    """The outputs of the model at `path` for inputs by its names, such as `in0`.

    ncnn has no batch: arrays are those of one sample.
    """
    net = ncnn.Net()
    net.opt.num_threads = int(options["threads"])
    for name in LOWERED:
        if hasattr(net.opt, name):
            setattr(net.opt, name, False)
    weights = path.with_name(f"{path.stem}.bin")
    if net.load_param(str(path)) or net.load_model(str(weights)):
        raise RuntimeError(f"ncnn does not take {path.name} or {weights.name}")
    extractor = net.create_extractor()
    for name, values in model.inputs.items():
        extractor.input(name, ncnn.Mat(values).clone())
    arrays = []
    for name in model.outputs:
        failed, value = extractor.extract(name)
        if failed:
            raise RuntimeError(f"ncnn gives no {name}")
        arrays.append(np.array(value))
    return arrays


if __name__ == "__main__":
    sys.exit(checked(Path(__file__).parent, run))
