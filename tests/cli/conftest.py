from collections.abc import Callable
from functools import partial
from pathlib import Path

import command
import pytest

Command = Callable[..., command.Done]


@pytest.fixture
def edgespiral(tmp_path: Path) -> Command:
    """The command line, run in an empty folder, 200 columns wide."""
    return partial(command.command, folder=tmp_path)


@pytest.fixture
def edgespiral_process(tmp_path: Path) -> Command:
    """The same in a process of its own, where what a process is or imports is what is tested."""
    return partial(command.in_process, folder=tmp_path)


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A small ONNX file."""
    from edgespiral.measure.tiny import write_tiny_model

    return write_tiny_model(tmp_path / "tiny.onnx")
