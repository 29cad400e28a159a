"""Runs the recorded sample by ONNX Runtime: `python example.py`; 0 if all is as recorded."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import onnxruntime
from sample import Model, checked  # type: ignore[import-not-found]


def run(path: Path, model: Model, options: dict[str, str]) -> list[Any]:
    """The outputs of the model at `path`, for inputs by name."""
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = int(options["threads"])
    # Subnormal weights can make a trained net ten times slower.
    settings.add_session_config_entry("session.set_denormal_as_zero", "1")
    providers = ["CPUExecutionProvider"]
    session = onnxruntime.InferenceSession(path, settings, providers=providers)
    return list(session.run(list(model.outputs), model.inputs))


if __name__ == "__main__":
    sys.exit(checked(Path(__file__).parent, run))
