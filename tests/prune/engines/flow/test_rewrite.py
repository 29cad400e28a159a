from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision.models import get_model

from edgespiral.core.errors import ModelError
from edgespiral.models.saved import load_model, save_model, trace
from edgespiral.prune.engines.flow.rewrite import explicit


def targets(model):
    return {getattr(node.target, "__name__", str(node.target)) for node in model.graph.nodes}


def test_every_family_computes_the_same_without_torchvision(family, example, tmp_path):
    model = explicit(family, example)
    two = torch.cat([example, example.flip(2)])
    assert torch.allclose(model(two), family(two), atol=1e-5)
    save_model(model, tmp_path, example=two)
    assert "torchvision" not in (tmp_path / "model.py").read_text()
    again = trace(load_model(tmp_path))
    assert explicit(again, example) is again
    assert torch.equal(again(two), model(two))


def test_shuffles_become_selections_and_norms_become_layers(named, example):
    shuffled = explicit(named("shufflenet"), example)
    assert "index_select" in targets(shuffled)
    assert not targets(shuffled) & {"view", "transpose"}
    normed = explicit(named("convnext"), example)
    assert "layer_norm" not in targets(normed)
    assert isinstance(normed.get_submodule("features.0.1"), nn.LayerNorm)


def test_parameters_keep_their_names_and_values(named, example):
    model = named("swin")
    state = explicit(model, example).state_dict()
    assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize("name", ["resnet18", "googlenet"])
def test_a_model_without_such_places_is_handed_back(name, example):
    options = {"init_weights": False} if name == "googlenet" else {}
    model = trace(get_model(name, **options))
    assert explicit(model, example) is model


def test_depth_that_is_dropped_only_in_training_leaves_no_trace(example):
    model = trace(get_model("efficientnet_b0"))
    assert "stochastic_depth" in targets(model)
    assert "stochastic_depth" not in targets(explicit(model, example))


def test_what_cannot_be_run_is_one_line():
    class Viewed(nn.Linear):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return super().forward(inputs).view(-1, 2, 4)

    model = trace(nn.Sequential(Viewed(8, 8)), torch.randn(2, 8))
    with pytest.raises(ModelError, match=r"cannot be written out: .*mat1 and mat2") as caught:
        explicit(model, torch.randn(1, 7))
    assert "\n" not in str(caught.value)
