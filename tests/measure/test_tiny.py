from pathlib import Path

import onnx
import pytest

from edgespiral.core.errors import RunFolderError
from edgespiral.measure.tiny import write_tiny_model


def test_the_tiny_model_is_valid(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "tiny.onnx")
    onnx.checker.check_model(onnx.load(path), full_check=True)
    assert path.stat().st_size < 50_000


def test_a_missing_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="cannot write"):
        write_tiny_model(tmp_path / "nothing" / "tiny.onnx")
