from __future__ import annotations

import pytest
import torch
from torch import nn

from edgespiral.core.errors import ModelError
from edgespiral.models.saved import trace
from edgespiral.models.tracing.lengths import followed_lengths


class Lengths(nn.Module):
    """Takes lengths of a batch, of a dimension of fixed size and of a list."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = self.layer(x).reshape(len(x), len(x[0]), -1)
        parts = [rows[:, place] for place in range(len(x[0]))]
        return sum(parts) / len(parts)


class Loops(Lengths):
    """Asks for a whole number of samples."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack([self.layer(x[place]) for place in range(len(x))])


def test_the_length_of_a_batch_is_its_size() -> None:
    model, inputs = Lengths().eval(), torch.randn(5, 3, 4)
    traced = trace(model, inputs)
    assert torch.equal(traced(inputs), model(inputs))
    assert torch.equal(traced(inputs[:1]), model(inputs[:1]))
    assert "len" not in globals()


def test_as_many_steps_as_there_are_samples_are_told() -> None:
    with pytest.raises(ModelError, match="batch size"):
        trace(Loops().eval(), torch.randn(5, 3, 4))


def test_a_name_of_ones_own_stays() -> None:
    globals()["len"] = own = object()
    try:
        with followed_lengths(Lengths()):
            assert globals()["len"] is own
        assert globals().pop("len") is own
    finally:
        globals().pop("len", None)
