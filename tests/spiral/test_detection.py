"""The whole job for a detector of one's own in its own file: two commands and one task name."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest
from command import command
from quick_runs import QUICK

from edgespiral import models, tasks
from edgespiral.core.records.events import RunFinished
from edgespiral.core.records.journal import read
from edgespiral.data import load
from edgespiral.export.parity import file_score
from edgespiral.report.html import render_html

FILE = Path(__file__).with_name("boxes.py")
DATA, MODEL = f"{FILE}:rectangles", f"{FILE}:detector"


def test_a_detector_of_ones_own_is_trained_and_compressed(tmp_path):
    teacher, run = tmp_path / "teacher", tmp_path / "run"
    words = ("--data", DATA, "--task", "detection", "--batch-size", 16)
    trained = command("train", MODEL, *words, "--epochs", 16, "--out", teacher)
    assert trained.returncode == 0, trained.stderr
    assert "AP50" in trained.stdout
    done = command(
        "compress", MODEL, *words, "--weights", teacher / "weights.safetensors", "--out", run,
        "--target", QUICK, "--epochs", 4, "--speedup", 1.3, "--max-drop", 30,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads((run / "result.json").read_text())
    assert result["metric"] == {"name": "AP50", "unit": "%", "higher_is_better": True}
    assert result["teacher"]["validation_score"] > 70
    assert result["student"]["parameter_count"] < result["teacher"]["parameter_count"]
    assert [one["metric"]["name"] for one in result["student"]["beside"]] == ["AP"]
    splits = load(DATA)
    model = models.load_model(MODEL, classes=2, input_shape=splits.input_shape)
    _, task = tasks.load("detection").prepared(model, splits)
    scored = file_score(run / "model.onnx", splits.validation, task)
    assert result["student"]["validation_score"] == pytest.approx(scored)
    # Two outputs, both compared: logits of three columns and boxes, for each of 36 anchors.
    outputs = onnx.load(run / "model.onnx").graph.output
    shapes = [[side.dim_value for side in one.type.tensor_type.shape.dim] for one in outputs]
    assert shapes == [[1, 36, 3], [1, 36, 4]]
    events = read(run / "journal.jsonl")
    finished = events[-1]
    assert isinstance(finished, RunFinished)
    assert len(finished.pictures) == 4
    page = render_html(events)
    assert page.count("data:image/jpeg;base64,/9j/") == 8
    assert "sample 0: teacher, student" in page
    assert "Cut and timed: the dense network, without decoding its boxes and NMS." in page


def test_a_detector_without_anchors_is_refused_before_anything_is_trained(tmp_path):
    refused = command(
        "train", f"{FILE}:blind", "--data", DATA, "--task", "detection", "--out", tmp_path / "a"
    )
    assert refused.returncode == 3
    assert "no anchors" in refused.stderr
    assert refused.stderr.strip().splitlines()[-1].startswith("error: Own: ")
    assert not (tmp_path / "a").exists()
