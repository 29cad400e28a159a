from __future__ import annotations

import torch
from torch import nn

from edgespiral.models.saved import trace
from edgespiral.prune.prunable import PrunableModel
from edgespiral.spiral.inspecting import inspect, share_lines


class Mixed(nn.Module):
    """A wide layer that an unknown operation holds, and a narrow one that can be cut."""

    def __init__(self):
        super().__init__()
        self.wide, self.narrow, self.head = nn.Linear(4, 64), nn.Linear(64, 8), nn.Linear(8, 3)
        self.norm = nn.BatchNorm1d(8)

    def forward(self, x):
        wide = self.wide(x)
        return self.head(self.norm(self.narrow(wide.cumsum(1))))


def teacher():
    torch.manual_seed(0)
    return PrunableModel.of(trace(Mixed()), (4,))


def test_little_is_said_with_what_holds_the_rest():
    first, second = share_lines(teacher())
    assert first == "  can be cut: 11% of the channels, 64% of the parameters"
    line = Mixed.forward.__code__.co_firstlineno + 2
    place = f"cumsum at test_inspecting.py:{line}"
    assert second == f"  stays: wide: channels are normalised over ({place})"


def test_an_inspection_has_groups_engines_and_reasons():
    facts = inspect(teacher(), "mixed")
    assert [(g.name, g.channels, g.read_by) for g in facts.groups] == [("narrow", 8, ("head",))]
    assert {k.layer: k.channels for k in facts.kept} == {"wide": 64, "head": 3}
    assert [(e.name, e.problem) for e in facts.engines if e.name == "flow"] == [("flow", None)]
    assert (facts.batch_norms, facts.precisions) == (1, {"float32": 4 * 64 + 64 + 520 + 27 + 16})
