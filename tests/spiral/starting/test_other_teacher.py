"""Another model than the one that is compressed teaches its students."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from quick_runs import PLAIN
from safetensors.torch import save_model

from edgespiral import api
from edgespiral.core.batches import first_inputs
from edgespiral.core.errors import (
    EdgeSpiralError,
    ExitCode,
    ModelError,
    RunFolderError,
    UsageError,
)
from edgespiral.core.listener import Silent
from edgespiral.core.records.journal import read
from edgespiral.models import build
from edgespiral.spiral.plan import Plan
from edgespiral.spiral.starting.opened import opened
from edgespiral.spiral.starting.request import RunRequest
from edgespiral.tasks.classification import CLASSIFICATION

NETS = """
from torch import nn

def five():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 5))
"""


def begun(model, splits, out: Path, name: str, listener=None, *, resume=False):
    request = RunRequest(
        plan=Plan(model="Net", data="digits", speedup=2.0, pruner="depgraph", teacher_model=name),
        model=model,
        splits=splits,
        task=CLASSIFICATION,
        out=out,
        resume=resume,
        listener=listener or Silent(),
        command="test",
    )
    return opened(request)


def test_the_named_model_teaches_in_the_original_s_place(
    wide, teacher, digits, weights, heard, tmp_path
):
    with begun(wide, digits, tmp_path, f"resnet20={weights}", heard) as (context, _):
        (started,) = context.journal.read()
        teaching = context.distiller.teaching(0, context.teacher.model, epochs=1.0)
    assert started.teacher_model_sha256 not in (None, started.teacher_sha256)
    inputs = first_inputs(digits, 8)
    [taught_by] = teaching.teachers
    with torch.no_grad():
        assert torch.allclose(taught_by(inputs), teacher.eval()(inputs), atol=1e-4)
        assert not torch.allclose(taught_by(inputs), wide.eval()(inputs), atol=0.1)
    [line] = [line for line in heard.lines if "taught by" in line]
    assert f"taught by resnet20={weights}: accuracy 9" in line
    assert "on validation" in line


def test_a_run_goes_on_with_the_weights_that_taught_it_alone(wide, digits, weights, tmp_path):
    own, out = tmp_path / "own.safetensors", tmp_path / "run"
    own.write_bytes(weights.read_bytes())
    name = f"resnet20={own}"
    with begun(wide, digits, out, name) as (context, _):
        before = context.journal.read()
    torch.manual_seed(9)
    save_model(build("resnet20", classes=10, input_shape=digits.input_shape), str(own))
    with (
        pytest.raises(RunFolderError, match="has other weights than the one") as refused,
        begun(wide, digits, out, name, resume=True),
    ):
        pass
    assert (refused.value.where, refused.value.exit_code) == ("--teacher-model", 8)
    own.write_bytes(weights.read_bytes())
    with begun(wide, digits, out, name, resume=True) as (context, _):
        assert context.journal.read() == before


@pytest.mark.parametrize(
    ("name", "kind", "what"),
    [
        ("resnet20", UsageError, "comes without trained weights"),
        ("resnet20=missing.safetensors", EdgeSpiralError, "missing.safetensors"),
        ("resnet21=missing.safetensors", UsageError, "resnet21"),
        ("nets.py:five", ModelError, "(2, 5)"),
        ("nets.py:six", UsageError, "six"),
    ],
)
def test_a_model_that_cannot_teach_is_refused_before_anything_is_done(
    wide, digits, tmp_path, monkeypatch, name, kind, what
):
    monkeypatch.chdir(tmp_path)
    Path("nets.py").write_text(NETS)
    with pytest.raises(kind) as refused, begun(wide, digits, tmp_path / "run", name):
        pass
    assert what in str(refused.value)
    assert "--teacher-model" in str(refused.value.where)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "run" / "journal.jsonl").exists()


def test_a_teacher_that_would_never_teach_is_refused():
    with pytest.raises(UsageError, match="teacher_model: teaches nobody where teacher is previous"):
        Plan(speedup=2.0, teacher="previous", teacher_model="resnet20=weights.safetensors")


def test_a_run_taught_by_a_larger_network_ends_as_others_do(wide, digits, weights, tmp_path):
    asked = {"speedup": 1.3, "turns": 1, "max_drop": 95.0, "epochs": 1.25, "learning_rate": 0.01}
    name = f"resnet20={weights}"
    done = api.compress(wide, digits, out=tmp_path / "run", teacher_model=name, **PLAIN | asked)
    assert done.result.exit_code == ExitCode.OK
    assert done.result.student.parameter_count < done.result.teacher.parameter_count
    (started, *_) = read(tmp_path / "run" / "journal.jsonl")
    assert started.plan["teacher_model"] == name
