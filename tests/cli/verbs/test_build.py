import json
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from edgespiral.cli.verbs.build import build
from edgespiral.core.errors import EdgeSpiralError, ExitCode, ModelError, UsageError
from edgespiral.measure.tiny import write_tiny_model

BOARD = """
schema = 1
name = "desk"
[runtime]
kind = "tensorrt"
[transport]
kind = "ssh"
host = "board"
config = "{board.config}"
workdir = "{board.folder}"
python = "{python}"
"""


def run(*words: object) -> Any:
    app = typer.Typer()
    app.command()(build)
    return CliRunner().invoke(app, [str(word) for word in words])


def refusal(*words: object) -> EdgeSpiralError:
    error = run(*words).exception
    assert isinstance(error, EdgeSpiralError)
    return error


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "model.onnx")


def test_an_engine_is_built_without_a_gpu(tiny: Path) -> None:
    pytest.importorskip("tensorrt_rtx", reason="the tensorrt-rtx extra is not installed")
    result = run(tiny.parent, "--target", "tensorrt-rtx")
    assert result.exit_code == 0, result.exception
    engine = tiny.with_suffix(".engine")
    assert f"{engine}: fp32, " in result.output
    assert (
        "it runs on nothing but GPUs of compute capability 8.9, with tensorrt-rtx" in result.output
    )
    assert json.loads(Path(f"{engine}.json").read_text())["target"] == "tensorrt-rtx"


def test_an_engine_is_built_on_a_board(board: Any, tiny: Path) -> None:
    board.install_trtexec("10.3.0")
    target = tiny.with_name("desk.toml")
    target.write_text(BOARD.format(board=board, python=sys.executable))
    out = tiny.with_name("made") / "small.plan"
    result = run(tiny, "--target", target, "--out", out)
    assert result.exit_code == 0, result.exception
    assert "(Orin, compute capability 8.7), with tensorrt 10.3.0" in result.output
    assert "the builder warns: This engine is a stand-in" in result.output
    assert {path.name for path in out.parent.iterdir()} == {"small.plan", "small.plan.json"}


def test_an_engine_has_an_engines_name(tiny: Path) -> None:
    error = refusal(tiny, "--target", "tensorrt-rtx", "--out", tiny.with_suffix(".bin"))
    assert isinstance(error, UsageError)
    assert str(error) == "--out: model.bin is not an engine's name; end it in .engine, .plan, .trt"


def test_a_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert isinstance(refusal(tmp_path / "no.onnx", "--target", "tensorrt-rtx"), ModelError)


def test_a_target_without_engines_says_so(tiny: Path) -> None:
    error = refusal(tiny, "--target", "host-cpu")
    assert error.exit_code == ExitCode.TARGET
    assert "ONNX Runtime has no engines" in str(error)
    assert not tiny.with_suffix(".engine").exists()
