from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from typer.testing import CliRunner

from edgespiral.cli.app import app
from edgespiral.core.errors import EdgeSpiralError
from edgespiral.models.saved import load_model

NET = """
import torch
from torch import nn


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 4, 3), nn.Flatten())
"""


@pytest.fixture
def net(tmp_path):
    path = tmp_path / "net.py"
    path.write_text(NET)
    return f"{path}:net"


def cut(*words):
    return CliRunner().invoke(app, ["cut", *words], catch_exceptions=False)


def test_it_writes_a_smaller_model_that_needs_nothing_of_ours(net, tmp_path):
    out = tmp_path / "new" / "half"
    done = cut(net, "--input-shape", "3x8x8", "--fraction", "0.5", "--out", str(out))
    assert done.exit_code == 0
    assert "0: 16 -> 8" in done.output
    assert "by flow" in done.output.replace("\n", " ") or "by nni" in done.output
    assert load_model(out)(torch.zeros(2, 3, 8, 8)).shape == (2, 64)
    code = "import sys, model; model.load(); print('edgespiral' in sys.modules)"
    alone = subprocess.run(
        [sys.executable, "-c", code], cwd=out, capture_output=True, text=True, check=True
    )
    assert alone.stdout == "False\n"


def test_widths_by_group(net, tmp_path):
    out = tmp_path / "out"
    done = cut(net, "--input-shape", "3x8x8", "--width", "0=5", "--out", str(out))
    assert done.exit_code == 0
    assert load_model(out).get_parameter("0.weight").shape[0] == 5


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--fraction", "0.5"], "give one of --data and --input-shape"),
        (["--input-shape", "3x8x8"], "one of fraction and widths is needed"),
        (["--input-shape", "3x8x8", "--width", "0"], "--width: not GROUP=N: '0'"),
        (["--input-shape", "3x8x8", "--width", "0=" + "9" * 5000], "--width: not GROUP=N: '0=99"),
        (["--input-shape", "3x8x8", "--width", "0=5", "--width", "0=6"], "given twice for 0"),
    ],
)
def test_what_is_wrong_is_one_line(net, tmp_path, words, problem):
    with pytest.raises(EdgeSpiralError, match=problem):
        cut(net, *words, "--out", str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_folder_with_something_in_it_is_left_alone(net, tmp_path):
    with pytest.raises(EdgeSpiralError, match="the folder is not empty"):
        cut(net, "--input-shape", "3x8x8", "--fraction", "0.5", "--out", str(tmp_path))


def test_a_zoo_model_needs_its_weights(tmp_path):
    with pytest.raises(EdgeSpiralError, match="comes without trained weights"):
        cut("resnet8", "--data", "digits", "--fraction", "0.5", "--out", str(tmp_path / "out"))
