from __future__ import annotations

import torch
from torch import nn

from edgespiral.models.tracing.layer_places import free_name, place_layer


def traced():
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU())
    model.bare = nn.Parameter(torch.ones(3, 3))
    graph = torch.fx.symbolic_trace(model)
    graph.register_parameter("bare", model.bare)
    return graph


def test_a_place_that_is_called_goes_to_the_same_layer_only():
    graph = traced()
    assert place_layer(graph, nn.Linear(3, 3), "0", "linear") == "0"
    assert place_layer(graph, nn.Linear(3, 4), "0", "linear") == "0_linear"
    assert graph.get_submodule("0_linear").out_features == 4


def test_a_bare_parameter_gives_its_name_to_the_layer():
    graph = traced()
    layer = nn.Linear(3, 3, bias=False)
    assert place_layer(graph, layer, "bare", "linear") == "bare"
    assert graph.get_submodule("bare") is layer


def test_names_that_are_taken_are_numbered():
    graph = traced()
    assert [free_name(graph, name) for name in ("new", "bare")] == ["new", "bare_2"]
