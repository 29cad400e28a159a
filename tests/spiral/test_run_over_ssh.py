"""The whole job on a device behind a real ssh server, which is restarted on the way."""

from __future__ import annotations

import logging
import os
from typing import Any

import pytest
import torch

from edgespiral import api
from edgespiral.core.errors import ExitCode
from edgespiral.core.files import sha256_file
from edgespiral.core.records import Outcome
from edgespiral.distill.settings import TrainSettings
from edgespiral.distill.trainer import train
from edgespiral.measure.engines import written_record
from edgespiral.zoo import build

TARGET = """
schema = 1
name = "{name}"
[runtime]
kind = "{runtime}"
[transport]
kind = "ssh"
host = "board"
config = "{board.config}"
workdir = "{board.folder}"
python = "{python}"
retry_s = 60
[measure]
warmup_ms = 2
rounds = 6
round_ms = 4
min_samples = 30
[device]
channel_multiple = 4
"""
OPTIONS: dict[str, Any] = {"speedup": 1.5, "turns": 1, "epochs": 0.5, "max_drop": 100.0}
SLOW = "EDGESPIRAL_SLOW_TESTS"


@pytest.fixture(scope="module")
def small(digits):
    """A small teacher that knows a little."""
    torch.manual_seed(0)
    model = build("resnet8", classes=10, input_shape=digits.input_shape)
    train(model, digits, TrainSettings(epochs=1.0))
    return model


def write_target(folder, board, runtime):
    settings = board.profile().transport
    text = TARGET.format(name="desk", runtime=runtime, board=board, python=settings.python)
    path = folder / "desk.toml"
    path.write_text(text)
    return str(path)


def test_a_budget_is_met_though_the_server_restarts(
    board, meanwhile, small, digits, tmp_path, caplog
):
    caplog.set_level(logging.WARNING, "edgespiral.measure")
    target = write_target(tmp_path, board, "onnxruntime")

    def restart() -> None:
        board.stop()
        board.start()

    meanwhile(lambda: board.processes("agent.py"), restart)
    done = api.compress(small, digits, out=tmp_path / "run", target=target, **OPTIONS)
    assert (done.result.outcome, done.result.exit_code) == (Outcome.MET, ExitCode.OK)
    assert done.result.student.latency.target == "desk"
    assert "the connection broke" in caplog.text
    assert list(board.folder.iterdir()) == []


@pytest.mark.skipif(SLOW not in os.environ, reason=f"takes minutes; {SLOW}=1 runs it")
def test_a_budget_is_met_by_way_of_trtexec(board, small, digits, tmp_path):
    """The stand-in for trtexec times with ONNX Runtime: the path is tried, not TensorRT."""
    board.install_trtexec("8.6.1")
    target = write_target(tmp_path, board, "tensorrt")
    done = api.compress(small, digits, out=tmp_path / "run", target=target, **OPTIONS)
    assert done.result.outcome == Outcome.MET
    assert done.result.student.latency.fingerprint.runtime == "tensorrt"
    engine = tmp_path / "run" / "model.engine"
    facts = written_record(engine, "tensorrt")
    assert facts is not None
    assert facts.model_sha256 == sha256_file(tmp_path / "run" / "model.onnx")
    assert facts.runtime_version == "8.6.1"
    assert list(board.folder.iterdir()) == []
