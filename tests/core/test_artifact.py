from __future__ import annotations

import hashlib
import subprocess
import sys

import pytest
import torch
import torchvision
from torch import nn

from edgespiral.core.artifact import load_model, save_model, trace
from edgespiral.core.errors import ModelError, RunFolderError

ARCHITECTURES = ["mobilenet_v3_small", "efficientnet_b0", "shufflenet_v2_x0_5", "convnext_tiny"]


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU())
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(4, 3)
        self.scale = nn.Parameter(torch.tensor([2.0]))
        self.register_buffer("shift", torch.tensor([0.5]))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.head(self.drop(self.body(inputs).mean((2, 3)))) * self.scale + self.shift


def saved(model, folder):
    model.eval()
    return save_model(trace(model), folder)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_saved_architecture_computes_the_same_under_the_same_names(name, tmp_path):
    torch.manual_seed(0)
    model = torchvision.models.get_model(name).eval()
    saved(model, tmp_path)
    again = load_model(tmp_path)
    inputs = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(again(inputs), model(inputs))
        assert torch.equal(trace(again)(inputs), model(inputs))
    assert set(again.state_dict()) == set(model.state_dict())


def test_two_lines_load_it_where_edgespiral_is_not(tmp_path):
    model = Small()
    saved(model, tmp_path)
    inputs = torch.ones(1, 1, 5, 5)
    script = (
        "from model import load\nmodel = load()\n"
        "import sys, torch\n"
        "assert not [m for m in sys.modules if m.startswith('edgespiral')]\n"
        "print(model(torch.ones(1, 1, 5, 5)).tolist())"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(model(inputs).tolist())


def test_modes_and_gradients_survive(tmp_path):
    saved(Small(), tmp_path)
    model = load_model(tmp_path)
    inputs = torch.randn(8, 1, 5, 5)
    assert not model.training
    assert torch.equal(model(inputs), model(inputs))
    model.train()
    assert not torch.equal(model(inputs), model(inputs))
    model(inputs).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert "shift" not in dict(model.named_parameters())


def test_hashes_are_of_the_files_and_repeatable(tmp_path):
    model = Small()
    first = saved(model, tmp_path)
    assert first == saved(model, tmp_path)
    for name, digest in first.items():
        assert hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() == digest


def test_tied_weights_stay_tied(tmp_path):
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(4, 4, bias=False)
            self.second = nn.Linear(4, 4, bias=False)
            self.second.weight = self.first.weight

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return self.second(self.first(inputs))

    model = Tied()
    saved(model, tmp_path)
    assert torch.equal(load_model(tmp_path)(torch.ones(1, 4)), model(torch.ones(1, 4)))


def test_tracing_keeps_the_mode_and_says_what_it_cannot_follow():
    class Branching(nn.Module):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return inputs if inputs.sum() > 0 else -inputs

    model = Branching().train()
    with pytest.raises(ModelError, match="Branching: cannot be traced") as caught:
        trace(model)
    assert model.training
    assert "\n" not in str(caught.value)


def test_a_layer_that_cannot_be_written_is_named(tmp_path):
    class Odd(nn.Linear):
        pass

    Odd.__module__ = "torch.nn.odd"
    model = nn.Sequential(nn.ReLU(), Odd(2, 2))
    with pytest.raises(ModelError, match="1: cannot write a Odd as source"):
        saved(model, tmp_path)


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"model\.py: no such file"):
        load_model(tmp_path)


def test_damaged_weights_are_refused(tmp_path):
    saved(Small(), tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_model(tmp_path)


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(RunFolderError, match="cannot write"):
        saved(Small(), tmp_path / "missing")
