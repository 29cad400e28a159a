import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def edgespiral(tmp_path: Path) -> Command:
    """The command line, run in its own process in an empty folder, 200 columns wide."""

    def run(*words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "edgespiral", *words],
            cwd=tmp_path,
            env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb", **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A small ONNX file."""
    from edgespiral.measure.tiny import write_tiny_model

    return write_tiny_model(tmp_path / "tiny.onnx")
