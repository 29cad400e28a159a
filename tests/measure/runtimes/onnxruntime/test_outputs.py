"""Outputs through a session on this machine; tests/measure/test_session_over_ssh.py has a board."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from edgespiral.core.errors import ModelError
from edgespiral.measure.profile import TargetProfile
from edgespiral.measure.session import Session

Make = Callable[..., Path]


def test_what_models_compute_is_fetched(
    convolution: Make, profile: TargetProfile, tmp_path: Path
) -> None:
    values = np.random.default_rng(0).normal(size=(3, 3, 16, 16)).astype(np.float32)
    np.save(tmp_path / "given.npy", values)
    models = [convolution("a.onnx", 16), convolution("b.onnx", 8)]
    with Session(profile) as session:
        files = session.outputs(models, tmp_path / "given.npy", tmp_path)
        # The same way is still good for timing.
        assert session.measure(models[:1])[0].stats.count > 0
    assert files is not None
    for model, file in zip(models, files, strict=True):
        alone = onnxruntime.InferenceSession(model)
        expected = [alone.run(None, {"x": sample[None]})[0] for sample in values]
        assert np.load(file) == pytest.approx(np.concatenate(expected), abs=1e-5)


def test_a_model_that_cannot_be_run_is_named(
    convolution: Make, profile: TargetProfile, tmp_path: Path
) -> None:
    np.save(tmp_path / "given.npy", np.zeros((1, 3, 8, 8), np.float32))
    with Session(profile) as session, pytest.raises(ModelError, match=r"b\.onnx: cannot be run"):
        session.outputs([convolution("b.onnx")], tmp_path / "given.npy", tmp_path)


def test_a_runtime_that_tells_no_outputs_is_not_asked(tmp_path: Path) -> None:
    board = {
        "schema": 1,
        "name": "board",
        "transport": {"kind": "local"},
        "runtime": {"kind": "tensorrt"},
    }
    with Session(TargetProfile.model_validate(board)) as session:
        assert session.outputs([tmp_path / "no.onnx"], tmp_path / "no.npy", tmp_path) is None
