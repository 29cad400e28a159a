"""Runs the recorded sample by LiteRT: `python example.py`; 0 if all is as recorded."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from ai_edge_litert.interpreter import Interpreter
from sample import Model, checked  # type: ignore[import-not-found]

SIGNATURE = "serving_default"


def run(path: Path, model: Model, options: dict[str, str]) -> list[Any]:
    """The outputs of the model at `path`, for inputs by the names in its signature."""
    net = Interpreter(str(path), num_threads=int(options["threads"]))
    signature = net.get_signature_runner(SIGNATURE)
    # An input that the model makes nothing of is not in the file.
    taken = signature.get_input_details()
    outputs = signature(**{name: own for name, own in model.inputs.items() if name in taken})
    return [outputs[name] for name in model.outputs]


if __name__ == "__main__":
    sys.exit(checked(Path(__file__).parent, run))
