from collections.abc import Callable
from pathlib import Path

import pytest

from edgespiral.core.errors import ModelError, UsageError
from edgespiral.measure.models import measure_models

TARGET = """
schema = 1
name = "mine"
[runtime]
kind = "onnxruntime"
[transport]
kind = "local"
[measure]
rounds = 5
round_ms = 0.5
"""


def test_files_and_run_folders_are_measured(
    tmp_path: Path, convolution: Callable[..., Path]
) -> None:
    target = tmp_path / "mine.toml"
    target.write_text(TARGET)
    run = tmp_path / "run"
    run.mkdir()
    convolution().rename(run / "model.onnx")
    first, second = measure_models([run, run / "model.onnx"], str(target))
    assert first.model_sha256 == second.model_sha256
    assert first.target == "mine"


def test_unknown_targets_and_missing_models_are_refused(
    tmp_path: Path, convolution: Callable[..., Path]
) -> None:
    with pytest.raises(UsageError, match="unknown target 'host-cup'; did you mean host-cpu"):
        measure_models([convolution()], "host-cup")
    with pytest.raises(ModelError, match="no such file"):
        measure_models([tmp_path / "nothing.onnx"], "host-cpu")
