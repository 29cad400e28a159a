"""What a model written to `model.py` begins with, before any weights are loaded."""

from __future__ import annotations

import importlib.util

import pytest
import torch
from command import command
from torch import nn
from torch.nn import functional as F

from edgespiral.core.errors import ExitCode
from edgespiral.models.fixed import fixed_names
from edgespiral.models.load import load_model
from edgespiral.models.saved import save_model, trace
from edgespiral.models.source import given_values

TRAINED = {"token", "gain", "temperature"}


class Mixed(nn.Module):
    """Constants of several kinds beside layers, and parameters that are no layer's."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("filters", torch.rand(6, 8) + 0.5)
        self.register_buffer("order", torch.tensor([3, 1, 0, 2, 7, 6, 5, 4]))
        self.register_buffer("passes", torch.tensor([True, False] * 4))
        self.register_buffer("places", torch.linspace(-1, 1, 8), persistent=False)
        self.register_buffer("projection", torch.randn(5, 8))
        self.token = nn.Parameter(torch.randn(1, 8) * 0.02)
        self.gain = nn.Parameter(torch.ones(8))
        self.temperature = nn.Parameter(torch.tensor(2.5))
        self.layer, self.head = nn.Linear(8, 8), nn.Linear(5, 3)
        self.norm = nn.BatchNorm1d(8)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        bands = torch.log(inputs.square() @ self.filters + 1e-3)[:, self.order]
        bands = torch.where(self.passes, bands, bands + self.places)
        hidden = F.relu(self.norm(self.layer(bands + self.token))) * self.gain
        # A function of a buffer, of which a trace makes a layer whose weight is fixed.
        return self.head(F.linear(hidden, self.projection)) / self.temperature


@pytest.fixture
def written(tmp_path):
    """The folder of a saved model whose own parameters have moved, and its graph."""
    torch.manual_seed(0)
    model = Mixed()
    graph = trace(model.eval(), torch.randn(4, 6))
    with torch.no_grad():
        graph.gain.add_(0.1 * torch.randn(8))
    save_model(graph, tmp_path, example=torch.randn(2, 6))
    return tmp_path, graph


def imported(folder):
    spec = importlib.util.spec_from_file_location("written_model", folder / "model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def fixed_of(graph):
    return {f"{path}.{n}" for path, layer in graph.named_modules() for n in fixed_names(layer)}


def test_constants_are_there_without_load(written):
    folder, graph = written
    torch.manual_seed(1)
    state, saved = imported(folder).Model().state_dict(), graph.state_dict()
    constants = {"filters", "order", "passes", "places", *fixed_of(graph)}
    assert constants <= saved.keys()
    assert fixed_of(graph)
    assert all(torch.equal(state[name], saved[name]) for name in constants)


def test_what_is_trained_begins_at_random_and_of_the_size_that_it_has(written):
    folder, graph = written
    module, saved = imported(folder), graph.state_dict()
    first, second = (dict(module.Model().named_parameters()) for _ in range(2))
    assert not torch.equal(first["layer.weight"], saved["layer.weight"])
    for name in TRAINED - {"temperature"}:
        assert not torch.equal(first[name], second[name])
        assert not torch.equal(first[name], saved[name])
        assert first[name].std() < 4 * saved[name].std()
    assert (first["gain"].mean() - 1).abs() < 0.3
    # A single number has no deviation.
    assert first["temperature"] == saved["temperature"] == 2.5
    assert all(first[name].requires_grad for name in TRAINED)


def test_it_learns_from_nothing(written):
    folder, _ = written
    torch.manual_seed(0)
    model = imported(folder).Model().train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    inputs, labels = torch.randn(64, 6), torch.arange(64) % 3
    losses = []
    for _ in range(30):
        loss = F.cross_entropy(model(inputs), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.9 * losses[0]


def test_other_weights_bring_their_own_constants(written, tmp_path_factory):
    folder, graph = written
    other = tmp_path_factory.mktemp("other") / "other.safetensors"
    (folder / "model.safetensors").rename(other)
    module = imported(folder)
    loaded = module.load(other).state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in graph.state_dict().items())
    begun = module.Model(str(other)).state_dict()
    assert torch.equal(begun["filters"], graph.filters)
    # What says that it brings all values itself needs no file.
    bare = module.Model(weights=None)
    bare.load_state_dict(graph.state_dict())
    assert torch.equal(bare.filters, graph.filters)


def test_without_its_weights_no_constant_is_made_up(written):
    folder, _ = written
    (folder / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors"):
        imported(folder).Model()
    spec = f"{folder / 'model.py'}:Model"
    done = command("train", spec, "--data", "digits", "--out", folder / "fresh")
    assert done.returncode == ExitCode.USAGE
    [line] = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "model.safetensors" in line


def test_a_model_of_layers_alone_asks_for_no_file(tmp_path):
    graph = trace(nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)).eval())
    save_model(graph, tmp_path)
    (tmp_path / "model.safetensors").unlink()
    assert imported(tmp_path).Model()(torch.zeros(1, 4)).shape == (1, 2)


@pytest.mark.parametrize("name", ["ds-cnn", "transformer-text", "ctc-gru"])
def test_networks_of_the_zoo_with_constants_begin_with_them(name, tmp_path):
    torch.manual_seed(0)
    sounds = {"input_shape": (1, 4096), "sample_rate_hz": 8000}
    texts = {"input_shape": (12,), "token_count": 30, "padding": 0}
    how = texts if name.endswith("text") else sounds
    model = load_model(name, classes=4, **how).eval()
    inputs = torch.randint(1, 30, (4, 12)) if name.endswith("text") else torch.randn(4, 1, 4096)
    graph = trace(model, inputs)
    save_model(graph, tmp_path)
    begun, saved = imported(tmp_path).Model().eval(), graph.state_dict()
    assert torch.isfinite(begun(inputs)).all()
    constants, drawn = given_values(graph)
    assert constants or drawn
    assert all(torch.equal(begun.state_dict()[n], saved[n]) for n in constants)
    assert not any(torch.equal(begun.state_dict()[n], saved[n]) for n in drawn)
