"""Times ONNX models as they are written: `unfused_agent.py request.json` prints one JSON document.

It lies on the device beside EdgeSpiral's agent for ONNX Runtime, which it has do the work, and
needs what that needs: NumPy and ONNX Runtime.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

# A Python in its isolated or safe mode does not look beside the program by itself.
sys.path.insert(0, str(Path(__file__).parent))

import agent  # type: ignore[import-not-found]
import onnxruntime
import onnxruntime_agent  # type: ignore[import-not-found]

Json = dict[str, Any]
OWN = {"provider": agent.CPU, "provider_options": {}, "affinity": None, "system_root": "/"}

SessionOptions = onnxruntime.SessionOptions


def main(request: Json) -> Json:
    """Do what the request says and return the document to print."""
    # All sessions that the agent opens take their options from here.
    onnxruntime.SessionOptions = _plain_options
    answer = onnxruntime_agent.main({**request, **OWN, "session_threads": request["threads"]})
    # What ran each node: nothing but the CPU could.
    del answer["placed"]
    answer["runtime"]["runtime"] = "unfused"
    return dict(answer)


def _plain_options() -> Any:
    options = SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return options


if __name__ == "__main__":
    agent.serve(main)
