"""The whole job on a device behind a real ssh server, which is restarted on the way."""

from __future__ import annotations

import logging
import os
import threading
from typing import Any

import pytest
import torch
from quick_runs import PLAIN
from rich.console import Console
from safetensors.torch import save_model

from edgespiral import api
from edgespiral.core.errors import ExitCode
from edgespiral.core.records.events import Outcome
from edgespiral.core.system.files import sha256_file
from edgespiral.distill.settings import TrainSettings
from edgespiral.distill.trainer import Objective, train
from edgespiral.measure.engine_files import written_record
from edgespiral.measure.transports.base import DeviceLostError
from edgespiral.models import build
from edgespiral.spiral.plan import load_plan
from edgespiral.spiral.run import run_compress
from edgespiral.tasks.classification import CLASSIFICATION

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
retry_s = 6
[measure]
warmup_ms = 2
rounds = 6
round_ms = 4
min_samples = 30
[device]
channel_multiple = 4
"""
# The run waits with what it has planned until its device is gone, however fast it would go on.
WAITS = """
import time
from pathlib import Path

import edgespiral


class Waits(edgespiral.Listener):
    def record_written(self, record):
        if record.kind == "turn-planned":
            Path("{planned}").touch()
            while not Path("{gone}").exists():
                time.sleep(0.01)
"""
OPTIONS: dict[str, Any] = {"speedup": 1.2, "turns": 1, "epochs": 0.5, "max_drop": 100.0}
SLOW = "EDGESPIRAL_SLOW_TESTS"


@pytest.fixture(scope="module")
def small(digits):
    """A small teacher that knows a little."""
    torch.manual_seed(0)
    model = build("resnet8", classes=10, input_shape=digits.input_shape)
    train(model, digits, TrainSettings(epochs=1.0), Objective(CLASSIFICATION))
    return model


def write_target(folder, board, runtime):
    settings = board.profile().transport
    text = TARGET.format(name="desk", runtime=runtime, board=board, python=settings.python)
    path = folder / "desk.toml"
    path.write_text(text)
    return str(path)


def test_a_run_survives_a_restart_and_the_loss_of_its_device(
    board, meanwhile, small, tmp_path, caplog
):
    caplog.set_level(logging.WARNING, "edgespiral.measure")
    save_model(small, str(tmp_path / "weights.safetensors"))
    planned, gone, log = tmp_path / "planned", tmp_path / "gone", tmp_path / "waits.py"
    log.write_text(WAITS.format(planned=planned, gone=gone))
    given = {"model": "resnet8", "data": "digits", "weights": tmp_path / "weights.safetensors"}
    given |= {"log": [f"{log}:Waits"]}
    target = write_target(tmp_path, board, "onnxruntime")
    plan = load_plan(None, {**given, **PLAIN, "target": target, **OPTIONS})
    out, journal, console = tmp_path / "run", tmp_path / "run/journal.jsonl", Console(record=True)
    is_back = threading.Event()

    def restart() -> None:
        board.stop()
        board.start()
        is_back.set()

    def lose() -> None:
        is_back.wait(timeout=60)
        board.stop()
        gone.touch()

    meanwhile(lambda: board.processes("agent.py"), restart)
    meanwhile(planned.exists, lose)
    with pytest.raises(DeviceLostError, match="tried for 6 s") as lost:
        run_compress(plan, out=out, resume=False, console=console, command="edgespiral compress")
    assert lost.value.exit_code == ExitCode.TARGET
    assert "the connection broke" in caplog.text
    assert "nothing is lost" in console.export_text()
    before = journal.read_text()

    board.start()
    result = run_compress(
        plan, out=out, resume=True, console=console, command="edgespiral compress"
    )
    assert (result.outcome, result.exit_code) == (Outcome.MET, ExitCode.OK)
    assert result.devices[0].target == "desk"
    assert journal.read_text().startswith(before)


@pytest.mark.skipif(SLOW not in os.environ, reason=f"takes minutes; {SLOW}=1 runs it")
def test_a_budget_is_met_by_way_of_trtexec(board, small, digits, tmp_path):
    """The stand-in for trtexec times with ONNX Runtime: the path is tried, not TensorRT."""
    board.install_trtexec("8.6.1")
    target = write_target(tmp_path, board, "tensorrt")
    done = api.compress(small, digits, out=tmp_path / "run", target=target, **OPTIONS)
    assert done.result.outcome == Outcome.MET
    assert done.result.devices[0].student.fingerprint.runtime == "tensorrt"
    engine = tmp_path / "run" / "model.engine"
    facts = written_record(engine, "tensorrt")
    assert facts is not None
    assert facts.model_sha256 == sha256_file(tmp_path / "run" / "model.onnx")
    assert facts.runtime_version == "8.6.1"
    assert done.result.engine == facts
    assert list(board.folder.iterdir()) == []
