from __future__ import annotations

import pytest
import torch

from edgespiral.core.artifact import trace
from edgespiral.core.errors import ModelError
from edgespiral.spiral.cutting import Cuttable, cut_to
from edgespiral.zoo import build


@pytest.fixture(scope="module")
def source():
    torch.manual_seed(0)
    model = build("resnet8", classes=10, input_shape=(1, 8, 8))
    return Cuttable.of(trace(model), (1, 8, 8))


@pytest.fixture
def importance(source):
    generator = torch.Generator().manual_seed(0)
    return {g.name: torch.rand(g.channels, generator=generator) for g in source.groups}


def half(source):
    return {group.name: group.channels // 2 for group in source.groups}


def sizes(model):
    return {name: tuple(value.shape) for name, value in model.state_dict().items()}


@pytest.mark.parametrize("pruner", ["nni", "depgraph", "auto"])
def test_the_cut_has_the_shape_of_its_candidate(source, importance, pruner):
    widths = half(source)
    cut = cut_to(source, widths, importance, pruner)
    assert cut.engine == ("nni" if pruner == "auto" else pruner)
    assert sizes(cut.model) == sizes(source.candidate(widths))
    assert cut.model(torch.randn(2, 1, 8, 8)).shape == (2, 10)


def test_width_zero_removes_the_branch_and_names_stay(source, importance):
    branch = source.branches[1]
    widths = half(source) | dict.fromkeys(branch.groups, 0)
    cut = cut_to(source, widths, importance, "auto")
    assert sizes(cut.model) == sizes(source.candidate(widths))
    assert not [name for name in sizes(cut.model) if name.startswith(f"{branch.name}.conv")]
    again = Cuttable.of(cut.model, (1, 8, 8), reference=source.groups)
    expected = {name: width for name, width in widths.items() if width}
    assert {group.name: group.channels for group in again.groups} == expected


def test_a_model_that_no_engine_can_cut_names_both_reasons(source, importance):
    widths = half(source) | {source.groups[0].name: 0}
    with pytest.raises(ModelError, match=r"nni: .*; depgraph: "):
        cut_to(source, widths, importance, "auto")
