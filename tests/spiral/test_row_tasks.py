"""Tables, ratings, labels and anomalies from data to what ships, on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import onnxruntime
import pytest
from command import command
from quick_runs import PLAIN, QUICK, flags
from row_data import write_people, write_ratings

FILE = Path(__file__).parents[1] / "row_data.py"


class Job(NamedTuple):
    """A task, what is trained for it on what, and how good the teacher is at least."""

    task: str
    model: str
    data: str
    metric: str
    least: float
    inputs: set[str]
    training: tuple[str, ...] = ()


JOBS = {
    "binary": Job(
        "binary?weights=balanced", "mlp-tabular", "csv:people.csv?target=rich&ignore=money",
        "ROC AUC", 95.0, {"numbers", "categories"},
    ),
    "regression": Job(
        "regression", "mlp-tabular", "csv:people.csv?target=money&is=number&ignore=rich",
        "MAE", 0.4, {"numbers", "categories"},
    ),
    "multilabel": Job(
        "multilabel", f"{FILE}:tagger", f"{FILE}:labels", "mAP", 85.0, {"input"}
    ),
    "anomaly": Job("anomaly", "autoencoder", f"{FILE}:sounds", "ROC AUC", 80.0, {"input"}),
    "recommendation": Job(
        "recommendation", "neumf", "ratings:ratings.csv?candidates=20", "HR@10", 60.0,
        {"user", "item"},
        (
            *("--learning-rate", "0.01", "--epochs", "20", "--batch-size", "128"),
        ),
    ),
}  # fmt: skip

# Whose models and data are those of another job, or as plain: cut without a search.
PLAINLY = ("regression", "multilabel")
# Mostly of embeddings, of few beside batch norms, and of layers that need no other.
OPTIMIZERS = {"recommendation": "adamw", "binary": "sgd", "anomaly": "sgd"}


def edgespiral(folder, *words):
    done = command(*words, folder=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", JOBS)
def test_a_task_of_rows_is_trained_and_compressed(name, tmp_path):
    job = JOBS[name]
    write_people(tmp_path / "people.csv")
    write_ratings(tmp_path / "ratings.csv")
    words = ("--data", job.data, "--task", job.task)
    edgespiral(tmp_path, "train", job.model, *words, "--out", "teacher", *job.training)
    trained = json.loads((tmp_path / "teacher" / "train.json").read_text())
    edgespiral(
        tmp_path, "compress", job.model, *words, "--weights", "teacher/weights.safetensors",
        "--out", "run", "--speedup", 1.15, "--epochs", 3, "--batch-size", 32,
        "--max-drop", 30,
        *("--learning-rate", 0.01 if name == "recommendation" else 0.02),
        *flags(PLAIN if name in PLAINLY else {"target": QUICK}),
    )  # fmt: skip
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["metric"]["name"] == job.metric
    score = result["teacher"]["validation_score"]
    assert score <= job.least if job.metric == "MAE" else score >= job.least
    assert result["student"]["parameter_count"] < result["teacher"]["parameter_count"]
    session = onnxruntime.InferenceSession(tmp_path / "run" / "model.onnx")
    assert {value.name for value in session.get_inputs()} == job.inputs
    (check,) = result["device_checks"]
    assert check["parity"]["max_abs_difference"] < 1e-3
    assert trained["metric"] == result["metric"]
    # What a checkpoint may lack is said where it is not the default.
    trained_by = trained["settings"].get("optimizer", "sgd")
    optimizer = OPTIMIZERS.get(name, trained_by)
    assert trained_by == optimizer
    assert result["optimizer"].startswith(f"{optimizer}: the model has ")
    if name in ("binary", "regression"):
        facts = json.loads((tmp_path / "run" / "columns.json").read_text())
        assert [column["column"] for column in facts["numbers"]] == ["age", "height"]
