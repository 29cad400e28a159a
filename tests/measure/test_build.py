"""Engines that a device builds and hands back."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgespiral.core.errors import TargetError
from edgespiral.measure.build import build_engine
from edgespiral.measure.engine_files import engine_path
from edgespiral.measure.profile import TargetProfile
from edgespiral.measure.session import Session

# The class is in tests/conftest.py, which cannot be imported.
Board = Any
Make = Callable[..., Path]


def test_an_engine_that_was_measured_is_fetched_and_not_built_again(
    board: Board, convolution: Make
) -> None:
    calls = board.bin / "calls"
    board.install_trtexec("8.6.1", f'echo "$@" >> {calls}')
    model = convolution()
    with Session(board.profile({"kind": "tensorrt"})) as session:
        session.profile_layers([convolution("other.onnx", 8), model])
        build_engine(session, model, engine_path(model))
    assert engine_path(model).read_bytes().startswith(b"STAND-IN ENGINE 8.6.1")
    assert list(board.folder.iterdir()) == []
    assert calls.read_text().count("--onnx=") == 2


def test_onnxruntime_has_no_engines(profile: TargetProfile, convolution: Make) -> None:
    model = convolution()
    refused = pytest.raises(TargetError, match="ONNX Runtime has no engines")
    with Session(profile) as session, refused:
        build_engine(session, model, engine_path(model))
    assert not engine_path(model).exists()
