import pytest
import torch
from torch import nn

from edgespiral.core.errors import ModelError
from edgespiral.models.saved import trace


class Writing(nn.Module):
    """Writes into a copy of its input, as told."""

    def __init__(self, write) -> None:
        super().__init__()
        self.write = write
        self.register_buffer("row", torch.arange(6.0))

    def forward(self, x):
        before = x
        x = x.clone()
        self.write(self, x)
        return x * 2 + before


def half(net, x):
    x[:, :2] = x[:, :2] * 0.5


def scaled(net, x):
    x[:, 1:3] *= 3


def block(net, x):
    x[:, 1:, ..., 2:4] = 7.0


def spread(net, x):
    x[..., 1:] = net.row[1:]


def masked(net, x):
    x[x > 0] = 0.5


def strided(net, x):
    x[:, ::2] = 1.0


def one_place(net, x):
    x[:, 1] = x[:, 0]


def whole(net, x):
    x[:] = x + 1


@pytest.mark.parametrize("write", [half, scaled, block, spread, masked, strided, one_place, whole])
def test_a_part_is_written_as_it_would_be(write):
    torch.manual_seed(0)
    model, inputs = Writing(write).eval(), torch.randn(7, 4, 6)
    graph = trace(model, inputs[:2])
    assert torch.equal(graph(inputs), model(inputs))
    assert torch.equal(graph(inputs[:1]), model(inputs[:1]))


def test_slices_become_a_concatenation_and_nothing_is_written():
    targets = [node.target for node in trace(Writing(half), torch.randn(2, 4, 6)).graph.nodes]
    assert torch.cat in targets
    assert not [t for t in targets if getattr(t, "__name__", "") == "setitem"]


def samples(net, x):
    x[:1, :2] = 0.0


def view(net, x):
    part = x[:, 0]
    part[:, 1:] = 5.0


@pytest.mark.parametrize("write", [samples, view])
def test_a_write_that_cannot_be_followed_is_refused_with_its_line(write):
    line = write.__code__.co_firstlineno + (1 if write is samples else 2)
    with pytest.raises(ModelError, match=rf"test_written\.py:{line}") as caught:
        trace(Writing(write), torch.randn(3, 4, 6))
    assert "\n" not in str(caught.value)


class InPlace(nn.Module):
    """Changes a tensor in place and takes no result, as told; with what it was before kept."""

    def __init__(self, change) -> None:
        super().__init__()
        self.change = change
        self.layer, self.gain = nn.Linear(6, 6), nn.Parameter(torch.tensor(1.5))
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        x = self.layer(x)
        shortcut = x
        self.change(self, x)
        return x * 2 + shortcut


def by_method(net, x):
    x.mul_(net.gain)


def by_function(net, x):
    nn.functional.relu(x, inplace=True)


def by_named_function(net, x):
    torch.relu_(x)


def by_layer(net, x):
    net.relu(x)


def twice(net, x):
    x.add_(1).clamp_(-1, 1)
    x.neg_()


@pytest.mark.parametrize("change", [by_method, by_function, by_named_function, by_layer, twice])
def test_what_is_changed_in_place_is_read_from_there_on(change):
    torch.manual_seed(0)
    model, inputs = InPlace(change).eval(), torch.randn(4, 6)
    graph = trace(model, inputs)
    expected = model(inputs)
    torch.testing.assert_close(graph(inputs), expected)
    # Nothing of it goes with what has no readers, as when a model is cut.
    graph.graph.eliminate_dead_code()
    graph.recompile()
    torch.testing.assert_close(graph(inputs), expected)
