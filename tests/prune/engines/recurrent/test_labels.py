from __future__ import annotations

import torch
from torch import nn

from edgespiral.models.saved import trace
from edgespiral.prune.engines.recurrent.labels import FREE, find_labels


def labels_of(model, inputs):
    return find_labels(trace(model), inputs)


def test_a_flatten_spreads_a_channel_over_its_positions(spectral):
    found = find_labels(spectral, torch.randn(2, 1, 8, 10))
    assert found.consumed["gru"].channel.tolist() == [c for c in range(6) for _ in range(4)]
    assert found.followed["depthwise"].channel.tolist() == list(range(6))
    assert found.consumed["conv"].channel.tolist() == [FREE]


def test_samples_are_followed_to_whatever_axis_they_are_on(sequence):
    tokens = torch.randint(0, 20, (2, 7))
    for batch_first, axis in ((True, 0), (False, 1)):
        found = find_labels(sequence(nn.GRU, "each", batch_first=batch_first), tokens)
        assert found.consumed["rnn"].batch_axis == axis
        assert found.consumed["hidden"].batch_axis == axis


class Framewise(nn.Module):
    """Runs a layer on frames of all samples at once: `order` says which vary first."""

    def __init__(self, order):
        super().__init__()
        self.order = order
        self.rnn = nn.GRU(5, 4, batch_first=True)
        self.head = nn.Linear(4, 3)

    def forward(self, inputs):
        outputs, _ = self.rnn(inputs)
        frames = outputs.transpose(0, 1) if self.order == "samples first" else outputs
        return self.head(frames.flatten(0, 1)).mean(1).view(7, 2)


def test_rows_of_several_frames_a_sample_are_understood_in_one_order_only():
    inputs = torch.randn(2, 7, 5)
    found = labels_of(Framewise("frames first"), inputs)
    assert 0 not in found.fixed
    assert found.consumed["head"].batch_axis == 0
    found = labels_of(Framewise("samples first"), inputs)
    assert "spread over several axes" in found.fixed[0]


class Twice(nn.Module):
    """Reads two layers' channels with one layer."""

    def __init__(self):
        super().__init__()
        self.left = nn.Linear(5, 4)
        self.right = nn.Linear(5, 4)
        self.head = nn.Linear(4, 3)

    def forward(self, inputs):
        return self.head(self.left(inputs)) + self.head(self.right(inputs))


def test_a_layer_used_twice_couples_what_it_reads():
    found = labels_of(Twice(), torch.randn(2, 5))
    produced = {name: side.channel.tolist() for name, side in found.produced.items()}
    expected = set(zip(produced["left"], produced["right"], strict=True))
    assert {tuple(sorted(pair)) for pair in found.joined} == {
        tuple(sorted(pair)) for pair in expected
    }


class Shifted(nn.Module):
    """Adds a constant as wide as the channels, and one as wide as a frame."""

    def __init__(self, width):
        super().__init__()
        self.inlet = nn.Linear(5, 4)
        self.shift = nn.Parameter(torch.ones(width))
        self.head = nn.Linear(4, 3)

    def forward(self, inputs):
        return self.head(self.inlet(inputs) + self.shift)


def test_a_constant_as_wide_as_the_channels_holds_them():
    inputs = torch.randn(2, 5)
    assert "add" in labels_of(Shifted(4), inputs).fixed[0]
    assert set(labels_of(Shifted(1), inputs).fixed) == {4, 5, 6}
