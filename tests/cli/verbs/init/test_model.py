"""What a model takes and returns."""

import pytest
import torch
from torch import nn

from edgespiral.cli.verbs.init.model import Form, facts_of, form_of
from edgespiral.core.errors import ModelError, UsageError
from edgespiral.data import load


class Named(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(5, 2)

    def forward(self, inputs):
        return {"logits": self.layer(inputs)}


def test_the_first_layer_tells_the_input() -> None:
    assert form_of(nn.Sequential(nn.Linear(7, 3)), None, "m") == Form((7,), (3,))
    sized = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Flatten(), nn.Linear(4 * 26 * 26, 5))
    assert form_of(sized, None, "m") == Form((2, 28, 28), (5,))
    pixels = nn.Conv2d(3, 6, 1)
    assert form_of(pixels, (3, 8, 4), "m") == Form((3, 8, 4), (6, 8, 4))


@pytest.mark.parametrize(
    ("module", "kind", "problem"),
    [
        (nn.Embedding(9, 4), UsageError, "m: what an input of it is cannot be told"),
        (nn.Identity(), UsageError, "--input-shape 3x224x224"),
        (Named(), ModelError, "m: returns a dict"),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(1, 2)), ModelError, "returns a tensor"),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(7, 2)), ModelError, "m: fails on inputs of"),
    ],
)
def test_what_cannot_be_told_is_said(
    module: nn.Module, kind: type[Exception], problem: str
) -> None:
    with pytest.raises(kind) as caught:
        form_of(module, None, "m")
    assert problem in str(caught.value)


def test_a_model_is_left_as_it_was() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)).train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    form_of(module, None, "m")
    assert module.training
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())


def test_data_tell_what_a_classifier_of_them_is() -> None:
    assert facts_of(load("digits")) == Form((1, 8, 8), (10,))
