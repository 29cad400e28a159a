"""The agent that computes outputs, as a device sees it: a process, a request, a file."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from edgespiral.measure.runtimes.agent_answer import AGENT, AGENT_OUTPUTS
from edgespiral.measure.runtimes.onnxruntime.runtime import ONNXRUNTIME_AGENT

Make = Callable[..., Path]


def ask(folder: Path, models: list[Path], **changes: Any) -> Any:
    request = {
        "mode": "outputs",
        "models": [str(model) for model in models],
        "threads": 1,
        "session_threads": 1,
        "affinity": None,
        "provider": "CPUExecutionProvider",
        "provider_options": {},
        "system_root": "/",
        "inputs": str(folder / "inputs.npy"),
        "most_bytes": 1000,
        "most_seconds": 60,
    }
    (folder / "request.json").write_text(json.dumps(request | changes))
    for file in (AGENT, AGENT_OUTPUTS, ONNXRUNTIME_AGENT):  # as they lie on a device
        shutil.copy(file, folder)
    command = [sys.executable, ONNXRUNTIME_AGENT.name, "request.json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert done.stderr == ""
    return json.loads(done.stdout)


@pytest.fixture
def inputs(tmp_path: Path) -> np.ndarray:
    values = np.random.default_rng(0).normal(size=(5, 3, 16, 16)).astype(np.float32)
    np.save(tmp_path / "inputs.npy", values)
    return values


def test_every_model_has_its_outputs(tmp_path: Path, convolution: Make, inputs: np.ndarray) -> None:
    models = [convolution("a.onnx", 16), convolution("b.onnx", 8)]
    told = ask(tmp_path, models)
    assert told["outputs"] == [{"file": f"outputs-{i}.npy", "samples": 5} for i in range(2)]
    for index, model in enumerate(models):
        session = onnxruntime.InferenceSession(model)
        expected = [session.run(None, {"x": sample[None]})[0] for sample in inputs]
        found = np.load(tmp_path / f"outputs-{index}.npy")
        assert found == pytest.approx(np.concatenate(expected), abs=1e-5)


def test_outputs_that_take_too_much_are_refused(
    tmp_path: Path, convolution: Make, inputs: np.ndarray
) -> None:
    error = ask(tmp_path, [convolution()], most_bytes=199)["error"]
    assert error["what"] == "its outputs take 200 bytes, 199 are allowed"
    assert not (tmp_path / "outputs-0.npy").exists()


def test_a_device_without_time_tells_what_it_has_done(
    tmp_path: Path, convolution: Make, inputs: np.ndarray
) -> None:
    assert ask(tmp_path, [convolution()], most_seconds=-1)["outputs"][0]["samples"] == 1
    assert len(np.load(tmp_path / "outputs-0.npy")) == 1


def test_inputs_of_another_shape_are_the_models_error(tmp_path: Path, convolution: Make) -> None:
    np.save(tmp_path / "inputs.npy", np.zeros((2, 3, 8, 8), np.float32))
    error = ask(tmp_path, [convolution()])["error"]
    assert (error["kind"], error["model"]) == ("model", 0)
    assert error["what"].startswith("cannot be run: ")
