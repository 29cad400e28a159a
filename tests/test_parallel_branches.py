"""bench/parallel_branches.py: branches that are there in training only."""

from __future__ import annotations

import copy
import importlib
from pathlib import Path

import pytest
import torch
from torch import nn


@pytest.fixture
def branches(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "bench"))
    return importlib.import_module("parallel_branches")


def test_a_network_computes_the_same_before_with_and_after_its_branches(branches):
    layers = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3, 2, 1)
    model, inputs = nn.Sequential(*layers).eval(), torch.randn(4, 3, 8, 8)
    branched = branches.with_branches(copy.deepcopy(model))
    assert torch.equal(branched.eval()(inputs), model(inputs))
    for layer in branched.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight)
    branched.train()(torch.randn(4, 3, 8, 8))  # the norms learn what is usual
    trained = branched.eval()(inputs)
    assert not torch.allclose(trained, model(inputs), atol=0.1)
    folded = branches.without_branches(branched)
    assert [type(layer) for layer in folded] == [nn.Conv2d, nn.BatchNorm2d, nn.Conv2d]
    assert torch.allclose(folded(inputs), trained, atol=1e-4)
