"""Traced models as networks to be drawn."""

from __future__ import annotations

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import nn

from edgespiral.core.records.events import TurnFinished
from edgespiral.core.records.inspection import Network, NetworkNode
from edgespiral.models.saved import trace
from edgespiral.prune.network import layer_channels, network_of
from edgespiral.prune.prunable import PrunableModel


class Squeezed(nn.Module):
    """A depthwise layer whose channels are weighed by what they are on average."""

    def __init__(self) -> None:
        super().__init__()
        self.wide = nn.Conv2d(3, 8, 3, stride=2)
        self.depthwise = nn.Conv2d(8, 8, 3, groups=8)
        self.norm = nn.BatchNorm2d(8)
        self.gate = nn.Conv2d(8, 8, 1)
        self.head = nn.Linear(8, 4)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        wide = self.norm(self.depthwise(self.wide(inputs))).relu()
        gate = self.gate(wide.mean((2, 3), keepdim=True)).sigmoid()
        flat = (wide * gate).mean((2, 3))
        return self.head(flat.view(flat.shape[0], -1))


@pytest.fixture(scope="module")
def squeezed() -> PrunableModel:
    torch.manual_seed(0)
    example = torch.randn(2, 3, 16, 16)
    return PrunableModel.of(trace(Squeezed().eval(), example), (3, 16, 16))


def test_layers_are_in_order_with_what_they_read(squeezed: PrunableModel) -> None:
    told = [(n.shown_name, n.operator, n.channels, n.inputs) for n in network_of(squeezed.model)]
    assert told == [
        ("input", "input", None, ()),
        ("wide", "Conv2d 3x3, stride 2", 8, ("inputs",)),
        ("depthwise", "Conv2d 3x3, depthwise", 8, ("wide",)),
        ("gate", "Conv2d 1x1", 8, ("depthwise",)),
        ("mul", "mul", None, ("depthwise", "gate")),
        ("head", "Linear", 4, ("mul",)),
    ]


def test_a_cut_model_has_the_same_layers_with_fewer_channels(squeezed: PrunableModel) -> None:
    widths = {group.name: 4 for group in squeezed.groups}
    assert layer_channels(squeezed.model) == {"wide": 8, "depthwise": 8, "gate": 8, "head": 4}
    cut = layer_channels(squeezed.candidate(widths))
    assert cut == {"wide": 4, "depthwise": 4, "gate": 4, "head": 4}


def test_a_network_that_reads_what_comes_later_is_refused() -> None:
    one = NetworkNode(name="one", operator="add", inputs=("two",))
    two = NetworkNode(name="two", operator="input")
    network = TypeAdapter(Network)
    assert network.validate_python((two, one)) == (two, one)
    with pytest.raises(ValidationError, match="one reads two, which does not come before it"):
        network.validate_python((one, two))
    with pytest.raises(ValidationError, match="two nodes two"):
        network.validate_python((two, two))


def test_names_with_control_characters_are_written_out_on_both_sides() -> None:
    network = NetworkNode(name="a", layer="a\x1b[2J", operator="Linear", channels=2)
    facts = TypeAdapter(TurnFinished.model_fields["layers"].rebuild_annotation())
    [layer] = facts.validate_python({"a\x1b[2J": 1})
    assert layer == network.layer
    assert "\x1b" not in layer
