import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from edgespiral.models.tracing.layers import layer_class


class Named(nn.Conv2d):
    """Differs from its base in its arguments and its description alone."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 1)

    def extra_repr(self) -> str:
        return "named"


class Padded(nn.Conv2d):
    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return super().forward(nn.functional.pad(inputs, (0, 1, 0, 1)))


class Computed(nn.Linear):
    @property
    def gain(self) -> torch.Tensor:
        return self.weight * 2


class Helped(nn.Conv2d):
    def _conv_forward(self, *args: torch.Tensor) -> torch.Tensor:
        return super()._conv_forward(*args) + 1


def shadowed() -> nn.Module:
    layer = nn.Linear(2, 2)
    layer.forward = lambda inputs: inputs
    return layer


@pytest.mark.parametrize("layer", [nn.Conv2d(1, 1, 1), Named(2)])
def test_a_layer_is_of_its_class_or_the_one_above_that_computes_for_it(layer):
    assert layer_class(layer) is nn.Conv2d


@pytest.mark.parametrize(
    "module",
    [
        Padded(1, 1, 1),
        Computed(2, 2),
        Helped(1, 1, 1),
        shadowed(),
        weight_norm(nn.Linear(2, 2)),
        nn.Sequential(nn.ReLU()),
        nn.TransformerEncoderLayer(4, 2),
    ],
    ids=lambda module: type(module).__name__,
)
def test_what_computes_something_else_is_no_layer(module):
    assert layer_class(module) is None
