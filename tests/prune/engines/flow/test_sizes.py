import pytest
import torch
from torch import nn

from edgespiral.models.saved import trace
from edgespiral.prune.engines.flow.sizes import sizes_of
from edgespiral.prune.prunable import PrunableModel, cut_to


class Scaled(nn.Module):
    """Works with numbers that it reads off the sizes of what is cut."""

    def __init__(self, number):
        super().__init__()
        self.number = number
        self.first, self.second = nn.Conv2d(3, 12, 1), nn.Conv2d(12, 6, 1)
        self.last = nn.Conv2d(6, 4, 1)

    def forward(self, x):
        hidden = self.first(x)
        return self.last(self.second(hidden) * self.number(hidden))


def by_shape(x):
    return x.shape[1] ** -0.5


def by_size(x):
    return 1 / x.size(1) + 2 * x.size()[-1]


def by_count(x):
    return x[0].numel() / 7


def by_unpacking(x):
    _, channels, height, _ = x.shape
    return channels // 5 + height


@pytest.mark.parametrize("number", [by_shape, by_size, by_count, by_unpacking])
def test_a_number_made_of_sizes_stays_what_it_was(number):
    torch.manual_seed(0)
    inputs = torch.randn(2, 3, 5, 5)
    source = PrunableModel.of(trace(Scaled(number), inputs), (3, 5, 5))
    assert {g.name: g.channels for g in source.groups} == {"first": 12, "second": 6}
    scores = {"first": torch.rand(12), "second": torch.rand(6)}
    cut = cut_to(source, {"first": 6, "second": 3}, scores, "flow")
    assert cut.difference < 1e-9
    assert cut.model(torch.randn(3, 3, 5, 5)).shape == (3, 4, 5, 5)


def test_numbers_that_no_cut_changes_stay_symbols():
    source = PrunableModel.of(trace(Scaled(by_size), torch.randn(2, 3, 5, 5)), (3, 5, 5))
    scores = {"first": torch.rand(12), "second": torch.rand(6)}
    cut = cut_to(source, {"first": 12, "second": 3}, scores, "flow")
    assert [node for node in cut.model.graph.nodes if node.target == "size"]


def test_what_depends_on_the_batch_is_told_apart():
    class Counting(nn.Module):
        def forward(self, x):
            return x.reshape(x.shape[0] * 2, -1) * x.shape[1]

    sizes = sizes_of(trace(Counting(), torch.randn(2, 4, 3)), torch.randn(1, 4, 3))
    fixed = {sizes.numbers[name] for name in sizes.fixed}
    assert 4 in fixed
    assert 2 not in fixed
    assert sizes.batch["reshape"] == [0]
