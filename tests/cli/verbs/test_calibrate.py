import json
from datetime import UTC, datetime

import onnx
import pytest
import torch
import typer
from torch import nn
from torch.nn import functional as F
from typer.testing import CliRunner

from edgespiral.cli.verbs.calibrate import calibrate, task_of
from edgespiral.core.errors import ExportError, UsageError
from edgespiral.core.records.events import RunStarted
from edgespiral.core.records.journal import Journal
from edgespiral.data import load
from edgespiral.export.onnx import export_onnx
from edgespiral.tasks import load as task_called

RECIPE = 'schema = 1\nname = "mine"\nsamples = 30\nexclude = ["/3/Gemm"]\n'

SPLIT = """
from dataclasses import replace
import torch
from edgespiral.data import load
from edgespiral.data.tensors import Normalisation, TensorSource

def no_nines():
    splits = load("digits")
    inputs, labels = next(iter(splits.train.epoch(batch_size=500)))
    unscaled = Normalisation(torch.zeros(1), torch.ones(1))
    return replace(splits, train=TensorSource(inputs[labels < 9], labels[labels < 9], unscaled))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with `model.onnx`, trained on digits for a moment, and a recipe."""
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10))
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    for inputs, labels in load("digits").train.epoch(batch_size=32, seed=0):
        optimiser.zero_grad()
        F.cross_entropy(model(inputs), labels).backward()
        optimiser.step()
    export_onnx(model, folder / "model.onnx", input_shape=(1, 8, 8))
    (folder / "mine.toml").write_text(RECIPE)
    return folder


def run(*arguments):
    app = typer.Typer()
    app.command()(calibrate)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.parametrize("runtime", ["onnxruntime", "tensorrt"])
def test_a_run_folder_is_calibrated_with_its_record(folder, tmp_path, runtime):
    words = ("--data", "digits", "--recipe", folder / "mine.toml", "--cache", tmp_path / "cache")
    result = run(folder, *words, "--runtime", runtime)
    assert result.exit_code == 0, result.output
    assert "/0/Conv" in result.output
    assert "in float: /3/Gemm (excluded by recipe mine)" in result.output
    record = json.loads((folder / "model.int8.json").read_text())
    assert (record["recipe"], record["samples"], record["form"]) == ("mine", 30, runtime)
    assert (folder / "model.int8.onnx").is_file()
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_a_tilde_in_the_cache_is_the_home_folder(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    words = ("--data", "digits", "--recipe", folder / "mine.toml", "--out", tmp_path / "q.onnx")
    result = run(folder / "model.onnx", *words, "--cache=~/ranges")
    assert result.exit_code == 0, result.output
    assert len(list((tmp_path / "ranges").iterdir())) == 1
    assert not (tmp_path / "~").exists()


def test_data_come_from_the_recipe_or_must_be_named(folder, tmp_path):
    recipe = tmp_path / "own.toml"
    recipe.write_text(RECIPE.replace('"mine"', '"own"') + 'data = "digits"\n')
    out = tmp_path / "new" / "folder" / "q.onnx"
    words = (folder / "model.onnx", "--out", out, "--cache", tmp_path / "cache")
    result = run(*words, "--recipe", recipe)
    assert result.exit_code == 0, result.output
    assert out.is_file()
    refused = run(*words, "--recipe", folder / "mine.toml").exception
    assert isinstance(refused, UsageError)
    assert str(refused).startswith("--data: no data to calibrate on; name it, or write it in")


def test_accuracy_is_told_where_a_floor_is_asked_for(folder, tmp_path):
    words = (folder / "model.onnx", "--data", "digits", "--recipe", folder / "mine.toml")
    places = ("--out", tmp_path / "q.onnx", "--cache", tmp_path / "cache")
    result = run(*words, *places, "--max-drop", "50")
    assert result.exit_code == 0, result.output
    assert "validation: float " in result.output
    assert json.loads((tmp_path / "q.json").read_text())["restored"] == []
    refused = run(*words, *places, "--max-drop", "50", "--runtime", "tensorrt").exception
    assert isinstance(refused, UsageError)
    assert str(refused).startswith("--target: host-cpu runs the onnxruntime form")


def test_what_samples_are_like_is_said(folder, tmp_path):
    source = tmp_path / "mine.py"
    source.write_text(SPLIT)
    words = (
        folder / "model.onnx",
        "--recipe",
        folder / "mine.toml",
        "--data",
        f"{source}:no_nines",
    )
    result = run(*words, "--out", tmp_path / "q.onnx", "--cache", tmp_path / "cache")
    assert result.exit_code == 0, result.output
    assert "of 30 samples" in result.output
    assert "digits: train: no sample of 9" in result.output


@pytest.fixture(scope="module")
def two_scales(tmp_path_factory):
    """A net of which one channel is a million times as large as the others, which float undoes."""
    folder = tmp_path_factory.mktemp("scales")
    torch.manual_seed(0)
    layers = (nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU())
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(128, 10))
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    for inputs, labels in load("digits").train.epoch(batch_size=32, seed=0):
        optimiser.zero_grad()
        F.cross_entropy(model(inputs), labels).backward()
        optimiser.step()
    with torch.no_grad():
        model[0].weight[0] *= 1e6
        model[0].bias[0] *= 1e6
        model[2].weight[:, 0] *= 1e-6
    export_onnx(model, folder / "model.onnx", input_shape=(1, 8, 8))
    return folder / "model.onnx"


def test_outputs_far_from_floats_fail_and_leave_nothing(two_scales, tmp_path):
    words = (two_scales, "--data", "digits", "--cache", tmp_path / "cache")
    (tmp_path / "q.onnx").write_text("of an earlier time")
    earlier = {"precision": "int8", "recipe_sha256": "", "layers": []}
    (tmp_path / "q.json").write_text(json.dumps(earlier))
    refused = run(*words, "--out", tmp_path / "q.onnx").exception
    assert isinstance(refused, ExportError)
    assert "differs from the float model" in str(refused)
    assert "first layer to diverge is /2/Conv" in str(refused)
    assert {path.name for path in tmp_path.iterdir()} == {"cache"}


def test_neighbours_go_back_to_float_together(two_scales, tmp_path):
    words = (two_scales, "--data", "digits", "--cache", tmp_path / "cache")
    result = run(*words, "--out", tmp_path / "q.onnx", "--max-drop", "1")
    assert result.exit_code == 0, result.output
    record = json.loads((tmp_path / "q.json").read_text())
    assert {layer["layer"] for layer in record["restored"]} == {"/0/Conv", "/2/Conv"}
    assert record["parity"]["sqnr_db"] > 10
    assert "against float: 64 validation samples, decisions agree on" in result.output


def test_the_file_is_judged_on_the_device_that_is_named(folder, tmp_path):
    words = (folder / "model.onnx", "--data", "digits", "--recipe", folder / "mine.toml")
    places = ("--out", tmp_path / "q.onnx", "--cache", tmp_path / "cache")
    result = run(*words, *places)
    assert result.exit_code == 0, result.output
    assert "not judged on a device: --target names one" in result.output
    assert json.loads((tmp_path / "q.json").read_text())["device_check"] is None
    result = run(*words, *places, "--target", "host-cpu")
    assert result.exit_code == 0, result.output
    assert "judged on host-cpu: " in result.output
    check = json.loads((tmp_path / "q.json").read_text())["device_check"]
    assert check["parity"]["samples"] == len(load("digits").validation)
    assert check["score"] == pytest.approx(check["score_here"], abs=1)


@pytest.mark.parametrize("out", ["model.onnx", "q.json"])
def test_the_model_is_not_written_over(folder, out):
    before = (folder / "model.onnx").read_bytes()
    words = ("--data", "digits", "--recipe", folder / "mine.toml", "--out", folder / out)
    refused = run(folder / "model.onnx", *words).exception
    assert isinstance(refused, UsageError)
    assert str(refused).startswith("--out: ")
    assert (folder / "model.onnx").read_bytes() == before


def test_nothing_that_is_read_is_written_over(folder, tmp_path):
    onnx.save(
        onnx.load(folder / "model.onnx"), tmp_path / "net.onnx",
        save_as_external_data=True, location="net.data", size_threshold=0,
    )  # fmt: skip
    for name in ("journal.jsonl", "q.onnx"):
        (tmp_path / name).write_text(RECIPE)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    (tmp_path / "net.onnx").rename(tmp_path / "model.onnx")
    for model in ("model.onnx", ""):
        for out, recipe in (("net.data", folder / "mine.toml"), ("q.onnx", tmp_path / "q.onnx")):
            words = ("--data", "digits", "--recipe", recipe, "--out", tmp_path / out)
            refused = run(tmp_path / model, *words).exception
            assert isinstance(refused, UsageError)
            assert f"{out} is what the command reads" in str(refused)
    refused = run(tmp_path, "--data", "digits", "--out", tmp_path / "journal.jsonl").exception
    assert isinstance(refused, UsageError)
    (tmp_path / "model.onnx").rename(tmp_path / "net.onnx")
    assert before == {path: path.read_bytes() for path in tmp_path.iterdir()}


def test_nodes_without_names_and_constants_are_calibrated(folder, tmp_path):
    model = onnx.load(folder / "model.onnx")
    for node in model.graph.node:
        node.name = ""
    for weight in list(model.graph.initializer):
        model.graph.initializer.remove(weight)
        constant = onnx.helper.make_node("Constant", [], [weight.name], value=weight)
        model.graph.node.insert(0, constant)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    onnx.save(model, tmp_path / "written.onnx")
    words = ("--data", "digits", "--out", tmp_path / "q.onnx", "--cache", tmp_path / "cache")
    result = run(tmp_path / "written.onnx", *words)
    assert result.exit_code == 0, result.output
    record = json.loads((tmp_path / "q.json").read_text())
    assert [layer["operator"] for layer in record["layers"]] == ["Conv", "Gemm"]
    assert record["kept_float"] == {}


@pytest.fixture
def segmenting(tmp_path):
    """The folder of a run that was scored by mIoU."""
    Journal(tmp_path / "journal.jsonl").append(
        RunStarted(
            plan={"task": "segmentation", "model": "m", "data": "d", "target": "t", "max_drop": 2},
            plan_sha256="p", teacher_sha256="t",
            metric=task_called("segmentation").metric, versions={}, command="edgespiral",
            started_at=datetime(2026, 3, 1, tzinfo=UTC),
        )
    )  # fmt: skip
    return tmp_path


def test_a_run_folder_says_its_task(segmenting, tmp_path_factory):
    assert task_of(segmenting, None).metric.name == "mIoU"
    assert task_of(segmenting, "segmentation").metric.name == "mIoU"
    assert task_of(tmp_path_factory.mktemp("none"), None).metric.name == "accuracy"
    assert task_of(segmenting / "model.onnx", "segmentation").metric.name == "mIoU"
    with pytest.raises(UsageError, match="--task classification: scores by accuracy, and the run"):
        task_of(segmenting, "classification")
