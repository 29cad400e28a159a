"""The whole job for tasks other than classification, for real, on data made up to be learned."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import command
from quick_runs import PLAIN, QUICK, flags

from edgespiral import api, models, tasks
from edgespiral.core.errors import DataError, RunFolderError, UsageError
from edgespiral.core.records.events import Outcome
from edgespiral.core.records.journal import read
from edgespiral.core.records.metric import Metric
from edgespiral.data import load
from edgespiral.distill.settings import TrainSettings
from edgespiral.distill.trainer import Objective, train
from edgespiral.export.parity import file_score
from edgespiral.report.html import render_html
from edgespiral.tasks.segmentation import PLUGIN as SEGMENTATION

FILE = Path(__file__).with_name("segments.py")
OPTIONS = {"target": QUICK, "speedup": 1.3, "epochs": 2.0, "max_drop": 25.0, "batch_size": 16}


def test_segmentation_is_trained_and_compressed_from_the_command_line(tmp_path):
    data, teacher, run = f"{FILE}:shapes", tmp_path / "teacher", tmp_path / "run"
    words = ("--data", data, "--task", "segmentation")
    trained = command(
        "train", "unet-small", *words, "--out", teacher, "--epochs", 5, "--batch-size", 16
    )
    assert trained.returncode == 0, trained.stderr
    assert "mIoU" in trained.stdout
    weights = teacher / "weights.safetensors"
    more = ("--weights", weights, "--out", run, *flags(OPTIONS | PLAIN))
    done = command("compress", "unet-small", *words, *more)
    assert done.returncode == 0, done.stderr
    assert "mIoU %" in done.stdout
    assert "accuracy" not in done.stdout
    result = json.loads((run / "result.json").read_text())
    assert result["metric"] == {"name": "mIoU", "unit": "%", "higher_is_better": True}
    assert result["teacher"]["validation_score"] > 60
    splits = load(f"{FILE}:shapes")
    scored = file_score(run / "model.onnx", splits.validation, SEGMENTATION)
    assert result["student"]["validation_score"] == pytest.approx(scored)
    small, large = (
        sum(p.numel() for p in api.load_model(folder).parameters())
        for folder in (run, run / "teacher")
    )
    assert small < large
    page = render_html(read(run / "journal.jsonl"))
    assert "Latency against mIoU" in page
    assert "ccuracy" not in page


def test_a_task_of_ones_own_is_compressed_and_its_errors_may_grow_by_max_drop(tmp_path):
    splits = load(f"{FILE}:depths")
    task = tasks.load(f"{FILE}:Depth")
    teacher = models.load_model(f"{FILE}:regressor", classes=0, input_shape=splits.input_shape)
    settings = TrainSettings(epochs=6.0, batch_size=16, learning_rate=0.05)
    train(teacher, splits, settings, Objective(task))
    options = OPTIONS | {"max_drop": 0.1, "learning_rate": 0.01}
    done = api.compress(teacher, splits, task=task, out=tmp_path / "run", **options)
    result = done.result
    assert result.metric == Metric(name="RMSE", unit="", higher_is_better=False)
    assert result.outcome is Outcome.MET
    before, after = (facts.validation_score for facts in (result.teacher, result.student))
    assert before < 0.25
    assert after <= before + 0.1
    assert file_score(done.folder / "model.onnx", splits.validation, task) == pytest.approx(after)
    task.metric = Metric(name="MSE", unit="", higher_is_better=False)
    with pytest.raises(RunFolderError, match="scored by RMSE, not by MSE"):
        api.compress(teacher, splits, task=task, out=done.folder, resume=True, **options)


def test_a_wrong_task_is_told_before_anything_is_done(tmp_path):
    net = models.build("unet-small", classes=3, input_shape=(2, 32, 32))
    with pytest.raises(UsageError, match=r"task: .*unknown task 'segmentaton'"):
        api.compress(net, f"{FILE}:shapes", task="segmentaton", out=tmp_path / "a", speedup=2)
    with pytest.raises(UsageError, match="a int is no task"):
        api.compress(net, f"{FILE}:shapes", task=3, out=tmp_path / "b", speedup=2)
    refused = command(
        "compress", "unet-small", "--data", f"{FILE}:shapes", "--weights", tmp_path / "none.pt",
        "--task", f"{FILE}:regressor", "--speedup", 2, "--out", tmp_path / "c",
    )  # fmt: skip
    assert refused.returncode == 2
    assert not list(tmp_path.rglob("journal.jsonl"))


def test_classification_is_refused_for_masks(tmp_path):
    net = models.build("unet-small", classes=3, input_shape=(2, 32, 32))
    with pytest.raises(DataError, match="--task segmentation"):
        api.compress(net, f"{FILE}:shapes", out=tmp_path / "run", speedup=2)
