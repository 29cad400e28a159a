from __future__ import annotations

import onnx
import pytest
import torch
import typer
from safetensors.torch import save_file
from torch import nn
from typer.testing import CliRunner

from edgespiral.cli.verbs.export import export
from edgespiral.core.errors import DataError, ExportError, ModelError, UsageError
from edgespiral.data import load
from edgespiral.models import load_model
from edgespiral.models.saved import save_model, trace

FACTORY = """
from torch import nn

class ByValue(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(64, 10)

    def forward(self, inputs):
        # Tracing an ONNX file keeps the value that this had for the exporter's zeros.
        return self.head(inputs.flatten(1)) * float((inputs != 0).any())


class ByBatch(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.BatchNorm1d(64, track_running_stats=False))
        self.append(nn.Linear(64, 10))
"""


def run(*arguments):
    app = typer.Typer()
    app.command()(export)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def refusal(*arguments):
    result = run(*arguments)
    assert result.exception is not None, result.output
    return result.exception


@pytest.fixture
def folder(tmp_path):
    """A folder with a saved model for `digits`."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 10))
    save_model(trace(model), tmp_path)
    return tmp_path


def test_a_folder_is_exported_and_checked(folder):
    out = folder / "new" / "m.onnx"
    result = run(folder, "--data", "digits", "--out", out, "--samples", "5")
    assert result.exit_code == 0, result.output
    assert f"{out}: fp32, 5 validation samples, decisions agree on 100.0%" in result.output
    onnx.checker.check_model(out)


def test_a_zoo_model_is_exported_with_its_weights(tmp_path):
    model = load_model("resnet8", classes=10, input_shape=(1, 8, 8))
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    words = ("resnet8", "--data", "digits", "--out", tmp_path / "m.onnx", "--samples", "3")
    result = run(*words, "--weights", tmp_path / "w.safetensors")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "m.onnx").is_file()
    error = refusal(*words)
    assert isinstance(error, UsageError)
    assert str(error).startswith("--weights: resnet8 comes without trained weights")


def test_a_folder_takes_no_other_weights(folder):
    error = refusal(folder, "--data", "digits", "--weights", "w.safetensors")
    assert isinstance(error, UsageError)
    assert str(error).startswith("--weights: a folder has its own weights")


def test_a_folder_without_a_model_is_named(tmp_path):
    error = refusal(tmp_path, "--data", "digits")
    assert isinstance(error, ModelError)
    assert "model.py: no such file" in str(error)


def test_a_model_for_other_data_is_refused(tmp_path):
    save_model(trace(nn.Sequential(nn.Flatten(), nn.Linear(64, 7))), tmp_path)
    error = refusal(tmp_path, "--data", "digits", "--out", tmp_path / "m.onnx")
    assert isinstance(error, ModelError)
    assert "not logits of shape (2, 10)" in str(error)
    assert not (tmp_path / "m.onnx").exists()


def test_a_file_that_fails_the_check_is_not_left(tmp_path):
    (tmp_path / "net.py").write_text(FACTORY)
    out = tmp_path / "m.onnx"
    error = refusal(f"{tmp_path}/net.py:ByValue", "--data", "digits", "--out", out)
    assert isinstance(error, ExportError)
    assert "the export differs from PyTorch" in str(error)
    assert not out.exists()


def test_a_model_that_depends_on_the_batch_is_refused_before_it_is_written(tmp_path):
    (tmp_path / "net.py").write_text(FACTORY)
    out = tmp_path / "m.onnx"
    error = refusal(f"{tmp_path}/net.py:ByBatch", "--data", "digits", "--out", out)
    assert isinstance(error, ModelError)
    assert str(error).startswith(
        "1 (BatchNorm1d): the model fails on a sample alone: Expected more"
    )
    assert not out.exists()


def test_an_int8_file_has_its_float_twin_and_record(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10))
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    for inputs, labels in load("digits").train.epoch(batch_size=32, seed=0):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(inputs), labels).backward()
        optimiser.step()
    save_model(trace(model), tmp_path)
    (tmp_path / "few.toml").write_text('schema = 1\nname = "few"\nsamples = 30\n')
    words = (tmp_path, "--data", "digits", "--out", tmp_path / "m.onnx", "--samples", "9")
    result = run(*words, "--precision", "int8", "--recipe", tmp_path / "few.toml")
    assert result.exit_code == 0, result.output
    assert f"{tmp_path / 'm.onnx'}: int8, 9 validation samples, decisions agree on" in result.output
    assert {"m.onnx", "m.float.onnx", "m.json"} <= {path.name for path in tmp_path.iterdir()}


def test_an_unknown_recipe_is_told_at_once(tmp_path):
    error = refusal(tmp_path, "--data", "digits", "--precision", "int8", "--recipe", "defalt")
    assert isinstance(error, UsageError)
    assert "unknown recipe 'defalt'" in str(error)


@pytest.mark.parametrize(("out", "weights"), [("net.py", None), ("w.safetensors", "w.safetensors")])
def test_what_is_read_is_not_written_over(tmp_path, monkeypatch, out, weights):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(FACTORY)
    (tmp_path / "w.safetensors").write_bytes(b"weights")
    before = (tmp_path / out).read_bytes()
    named = ["--weights", weights] if weights else []
    done = run("net.py:ByValue", "--data", "digits", "--out", f"./{out}", *named)
    assert isinstance(done.exception, UsageError)
    assert f"{out} is what the command reads" in str(done.exception)
    assert (tmp_path / out).read_bytes() == before


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_the_files_of_a_run_are_not_written_over(folder, monkeypatch, precision):
    monkeypatch.chdir(folder)
    (folder / "model.onnx").write_bytes(b"the run's")
    (folder / "far.toml").write_text('schema = 1\nname = "far"\nsamples = 5000\n')
    words = (".", "--data", "digits", "--precision", precision, "--recipe", "far.toml")
    error = refusal(*words)
    assert isinstance(error, UsageError)
    assert str(error) == "--out: model.onnx is what the command reads; name another file"
    assert (folder / "model.onnx").read_bytes() == b"the run's"


def test_a_float_file_of_somebody_else_is_not_written_over(folder, tmp_path_factory):
    place = tmp_path_factory.mktemp("place")
    out, twin = place / "m.onnx", place / "m.float.onnx"
    words = (folder, "--data", "digits", "--out", out, "--samples", "3", "--precision", "fp16")
    # An earlier export's may be.
    for _ in range(2):
        assert run(*words).exit_code == 0
    (folder / "far.toml").write_text('schema = 1\nname = "far"\nsamples = 5000\n')
    failed = (*words[:-1], "int8", "--recipe", folder / "far.toml")
    assert isinstance(refusal(*failed), DataError)
    assert not list(place.iterdir())
    twin.write_bytes(b"mine")
    for is_there in (False, True):
        if is_there:
            out.write_bytes(b"mine, too")
        error = refusal(*words)
        assert isinstance(error, UsageError)
        assert "m.float.onnx: the float file of m.onnx would be written there" in str(error)
        assert twin.read_bytes() == b"mine"


def test_nothing_read_has_the_name_of_what_is_written_beside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.float.onnx").write_bytes(b"weights")
    (tmp_path / "net.py").write_text(FACTORY)
    words = ("net.py:ByValue", "--data", "digits", "--out", "m.onnx", "--precision", "int8")
    error = refusal(*words, "--weights", "m.float.onnx")
    assert isinstance(error, UsageError)
    assert "m.float.onnx is what the command reads" in str(error)
