"""Times ONNX models as they are written: `unfused_agent.py request.json` prints one JSON document.

It lies on the device beside EdgeSpiral's `agent.py`, of which it uses the clock and the questions
to the system, and needs what that needs: NumPy and ONNX Runtime.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import agent  # type: ignore[import-not-found]
import onnxruntime

Json = dict[str, Any]
ROOT = Path("/")


def main(request_path: str) -> Json:
    """Do what the request says and return the document to print."""
    request = json.loads(Path(request_path).read_text(encoding="utf-8"))
    request |= {
        "provider": agent.CPU,
        "provider_options": {},
        "session_threads": request["threads"],
    }
    # All sessions that the agent opens take their options from here.
    onnxruntime.SessionOptions = _plain_options
    with tempfile.TemporaryDirectory() as folder:
        request["profile_folder"] = folder
        is_profile = request["mode"] == "profile"
        before = agent.device_state(ROOT)
        answers = agent.profile(request) if is_profile else agent.measure(request)
    return {
        "device": agent.device_facts(ROOT),
        "runtime": {
            "runtime": "unfused",
            "runtime_version": onnxruntime.__version__,
            "provider": agent.CPU,
            "threads": request["threads"],
        },
        "before": before,
        "after": agent.device_state(ROOT),
        "nodes" if is_profile else "samples": answers,
    }


SessionOptions = onnxruntime.SessionOptions


def _plain_options() -> Any:
    options = SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return options


if __name__ == "__main__":
    try:
        print(json.dumps(main(sys.argv[1])))
    except agent.AgentError as problem:
        print(json.dumps({"error": problem.document}))
        sys.exit(1)
