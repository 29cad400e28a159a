import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer
from command import command
from forked import Forked
from typer.testing import CliRunner

from edgespiral.cli.verbs.train import default_folder, train
from edgespiral.core.errors import ModelError, UsageError

ARGUMENTS = ["resnet8", "--data", "digits", "--batch-size", "32"]


def invoke(*arguments):
    app = typer.Typer()
    app.command()(train)
    return CliRunner().invoke(app, arguments)


def start(folder, *arguments):
    return Forked("train", *ARGUMENTS, "--out", folder, *arguments)


def wait_for(path, process):
    while not path.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def test_train_writes_a_teacher_and_says_how_good_it_is(tmp_path):
    result = invoke(*ARGUMENTS, "--epochs", "0.5", "--out", str(tmp_path / "t"))
    assert result.exit_code == 0, result.output
    record = json.loads((tmp_path / "t" / "train.json").read_text())
    assert f": accuracy {record['test_score']:.2f} % test" in result.output
    [beside] = record["test_beside"]
    assert f"test macro F1 {beside['value']:.2f} %" in result.output
    assert (tmp_path / "t" / "weights.safetensors").exists()


def test_the_default_folder_names_model_and_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert invoke("resnet8", "--data", "digits", "--epochs", "0.1").exit_code == 0
    assert (tmp_path / "runs" / "train-resnet8-digits" / "weights.safetensors").exists()


@pytest.mark.parametrize(
    ("model", "data", "name"),
    [
        ("resnet20", "fashion-mnist", "train-resnet20-fashion-mnist"),
        ("a/b.py:net", "folder:/x/y?size=64", "train-a-b.py-net-folder-x-y-size-64"),
    ],
)
def test_default_folders_are_plain_names(model, data, name):
    assert default_folder(model, data) == Path("runs") / name


def test_errors_are_left_to_the_app(tmp_path):
    result = invoke("resnet9", "--data", "digits", "--out", str(tmp_path / "t"))
    assert isinstance(result.exception, UsageError)
    assert "resnet8" in str(result.exception)
    assert not (tmp_path / "t").exists()


def test_a_model_that_depends_on_the_batch_is_refused_before_any_training(tmp_path):
    (tmp_path / "net.py").write_text(
        "from torch import nn\n"
        "def make():\n"
        "    norm = nn.BatchNorm1d(64, track_running_stats=False)\n"
        "    return nn.Sequential(nn.Flatten(), norm, nn.Linear(64, 10))\n"
    )
    result = invoke(f"{tmp_path}/net.py:make", "--data", "digits", "--out", str(tmp_path / "t"))
    assert isinstance(result.exception, ModelError)
    assert str(result.exception).startswith("1 (BatchNorm1d): the model fails on a sample alone: ")
    assert not (tmp_path / "t").exists()


def test_a_killed_training_resumes_to_the_same_accuracy(tmp_path):
    epochs = ("--epochs", "6")
    killed = start(tmp_path / "killed", *epochs)
    wait_for(tmp_path / "killed" / "checkpoint.pt", killed)
    killed.kill()
    killed.communicate()
    assert not (tmp_path / "killed" / "train.json").exists()
    for name, more in (("killed", ("--resume",)), ("whole", ())):
        done = command("train", *ARGUMENTS, "--out", tmp_path / name, *epochs, *more)
        assert done.returncode == 0, done.stderr
    resumed, whole = (
        json.loads((tmp_path / name / "train.json").read_text()) for name in ("killed", "whole")
    )
    assert resumed["weights_sha256"] == whole["weights_sha256"]
    assert resumed["test_score"] == whole["test_score"]


def test_ctrl_c_prints_the_resume_command(tmp_path):
    process = start(tmp_path / "t", "--epochs", "100")
    wait_for(tmp_path / "t" / "checkpoint.pt", process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode != 0
    assert "Go on with:" in errors
    assert f"--out {tmp_path / 't'} --epochs 100 --resume" in errors
    assert (tmp_path / "t" / "checkpoint.pt").exists()


def test_importing_the_command_loads_no_torch():
    heavy = "{'torch', 'pydantic'}"
    code = f"import sys, edgespiral.cli.verbs.train; sys.exit(bool({heavy} & {{*sys.modules}}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
