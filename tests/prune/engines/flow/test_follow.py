from __future__ import annotations

import torch
from torch import nn

from edgespiral.prune.engines.flow.follow import follow, varying
from edgespiral.prune.engines.flow.labels import FROZEN, Ties


def test_tied_labels_are_one_component_and_frozen_ones_are_none():
    ties = Ties()
    first, second = ties.fresh(3), ties.fresh(3)
    ties.tie(first, second)
    ties.freeze(second[2:])
    components = ties.components()
    assert torch.equal(components[first], components[second])
    assert components[first][2] == FROZEN
    assert len(set(components[first].tolist())) == 3


def test_columns_tie_whatever_differs_across_the_other_dimensions():
    ties = Ties()
    labels = torch.stack([ties.fresh(4), ties.fresh(4)])
    assert torch.equal(ties.columns(labels, 1), labels[0])
    components = ties.components()
    assert torch.equal(components[labels[0]], components[labels[1]])


def test_varying_names_the_dimensions_that_tell_elements_apart():
    assert varying(torch.arange(4).view(1, 4, 1).expand(2, 4, 3)) == [1]
    assert varying(torch.zeros(2, 2)) == []
    assert varying(torch.arange(4).view(2, 2)) == [0, 1]


class Halves(nn.Module):
    """Reshaped so that one channel is not a slice of any dimension."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Linear(3, 8)
        self.two = nn.Linear(4, 2)
        self.three = nn.Linear(2, 2)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.three(self.two(self.one(inputs).view(-1, 2, 4)).sum(1))


def test_a_consumer_that_reads_two_channels_at_one_place_ties_them():
    flow = follow(torch.fx.symbolic_trace(Halves()), torch.randn(1, 3))
    one = flow.writes["one"].tolist()
    assert one[:4] == one[4:] == flow.reads["two"].tolist()
    assert len(set(one)) == 4
    assert set(flow.writes["three"].tolist()) == {FROZEN}


class Halved(nn.Module):
    """Takes the first half of the channels."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Linear(3, 8)
        self.two = nn.Linear(4, 2)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.two(self.one(inputs)[:, :4])


def test_channels_that_are_counted_off_keep_their_labels():
    flow = follow(torch.fx.symbolic_trace(Halved()), torch.randn(1, 3))
    assert flow.writes["one"][:4].tolist() == flow.reads["two"].tolist()
    assert flow.indices["getitem"][1] == slice(None, 4)
