from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from edgespiral.core.batches import first_inputs
from edgespiral.data import load
from edgespiral.distill.settings import TrainSettings
from edgespiral.distill.trainer import Objective, train
from edgespiral.models.fixed import fix, fixed_names, train_all
from edgespiral.models.saved import load_model, save_model, trace
from edgespiral.prune.prunable import PrunableModel, cut_to
from edgespiral.prune.sparsity import masks_for
from edgespiral.tasks.classification import CLASSIFICATION


class Blur(nn.Module):
    """A blur between two convolutions, by a buffer, and a projection by another."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 12, 3)
        kernel = torch.tensor([1.0, 2.0, 1.0])
        self.register_buffer("kernel", (kernel[:, None] * kernel / 16).repeat(8, 1, 1, 1))
        self.register_buffer("projection", torch.randn(10, 12))
        self.gain = nn.Parameter(torch.ones(10), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        blurred = F.conv2d(F.relu(self.first(x)), self.kernel, padding=1, groups=8)
        pooled = F.relu(self.second(blurred)).mean((2, 3))
        return F.linear(pooled, self.projection * 2, self.gain)


@pytest.fixture(scope="module")
def splits():
    return load("digits")


@pytest.fixture
def graph(splits):
    torch.manual_seed(0)
    return trace(Blur().eval(), first_inputs(splits))


def constants(model):
    return {f"{path}.{n}" for path, layer in model.named_modules() for n in fixed_names(layer)}


def half(source, model):
    scores = {group.name: torch.rand(group.channels) for group in source.groups}
    widths = {group.name: group.channels // 2 for group in source.groups}
    return cut_to(source, widths, scores, model)


@pytest.mark.parametrize("pruner", ["nni", "depgraph", "flow"])
def test_what_was_a_buffer_is_cut_saved_and_never_trained(pruner, graph, splits, tmp_path):
    shape, inputs = splits.input_shape, first_inputs(splits)
    before = constants(graph)
    assert {name.rpartition(".")[0] for name in before} >= {"kernel"}
    assert len(before) == 2
    model = graph
    for turn in range(2):
        source = PrunableModel.of(model, shape)
        cut = half(source, pruner).model
        assert constants(cut) == before
        save_model(cut, tmp_path, example=inputs)
        model = trace(load_model(tmp_path), inputs)
        state = {name: value.clone() for name, value in model.state_dict().items()}
        assert state["kernel.weight"].shape[0] == 8 // 2 ** (turn + 1)
        train(model, splits, TrainSettings(epochs=0.1, batch_size=64), Objective(CLASSIFICATION))
        changed = {name for name, value in model.named_parameters() if not value.equal(state[name])}
        assert changed == {name for name, _ in model.named_parameters()} - before


def test_a_models_frozen_parameters_are_trained_and_its_constants_not(graph):
    assert not graph.get_parameter("linear.bias").requires_grad
    graph.register_parameter("count", nn.Parameter(torch.tensor([3]), requires_grad=False))
    graph.requires_grad_(False)
    train_all(graph)
    trained = {name for name, parameter in graph.named_parameters() if parameter.requires_grad}
    assert trained == {n for n, _ in graph.named_parameters()} - constants(graph) - {"count"}


def test_constants_are_not_made_sparse(graph):
    thinned = {name.rpartition(".")[0] for name in masks_for(graph, 0.5)}
    assert thinned == {"first", "second"}


def test_what_is_fixed_stays_so_as_more_is():
    layer = nn.Linear(2, 2)
    fix(layer, "weight")
    fix(layer, "bias")
    assert fixed_names(layer) == ("bias", "weight")
