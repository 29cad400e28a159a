"""Encoder-decoders of the zoo."""

import pytest
import torch

from edgespiral.core.batches import InputSpec
from edgespiral.core.errors import UsageError
from edgespiral.models import build

SPECS = {"source": InputSpec((5,), 20), "target": InputSpec((4,), 30)}


def made(name, specs=SPECS, padding=0):
    torch.manual_seed(0)
    return build(name, classes=30, input_shape=(), specs=specs, padding=padding).eval()


@pytest.mark.parametrize("name", ["gru-translation", "lstm-translation"])
def test_what_fills_up_changes_nothing(name):
    model = made(name)
    source, target = torch.tensor([[3, 4, 5]]), torch.tensor([[2, 7, 0]])
    longer = torch.tensor([[3, 4, 5, 0, 0]])
    outputs = model(source, target)
    torch.testing.assert_close(model(longer, target), outputs, rtol=1e-5, atol=1e-6)
    assert outputs.shape == (1, 3, 30)
    assert not outputs[0, 2].any()
    # No word is looked at that is to come.
    other = model(source, torch.tensor([[2, 8, 9]]))
    torch.testing.assert_close(other[:, 0], outputs[:, 0])


@pytest.mark.parametrize(
    ("specs", "padding"),
    [(InputSpec((3, 8, 8)), None), ({"source": SPECS["source"]}, 0), (SPECS, None)],
)
def test_other_inputs_are_told(specs, padding):
    with pytest.raises(UsageError, match="takes ids of a source and a target, and the data has no"):
        made("gru-translation", specs, padding)
