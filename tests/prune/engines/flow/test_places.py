from __future__ import annotations

import torch
from torch import nn

from edgespiral.models.saved import trace
from edgespiral.prune.engines.flow.places import described, user_line


class Sorting(nn.Module):
    """One layer and one operation."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x):
        return torch.sort(self.layer(x))[0]


def test_operations_go_by_their_line_and_layers_by_their_name():
    graph = trace(Sorting())
    modules = dict(graph.named_modules())
    told = [described(node, modules) for node in graph.graph.nodes]
    line = Sorting.forward.__code__.co_firstlineno + 1
    assert told[1:3] == ["Linear layer", f"sort at test_places.py:{line}"]


def test_without_a_record_there_is_no_line():
    graph = torch.fx.symbolic_trace(Sorting())
    assert {user_line(node) for node in graph.graph.nodes} == {None}
