"""What is written for a newcomer runs as it is, and is of the shapes that were asked for."""

from pathlib import Path

import pytest
import torch

from edgespiral.cli.verbs.init.model import Form
from edgespiral.cli.verbs.init.stubs import LOAD, MAKE, data_text, model_text
from edgespiral.core.errors import UsageError
from edgespiral.core.factory import call_factory
from edgespiral.data import load


@pytest.mark.parametrize(
    "form", [Form((3, 12, 8), (5,)), Form((1, 8, 8), (4, 8, 8)), Form((6,), (3,))]
)
def test_a_stub_of_data_fits_a_stub_of_a_model(form: Form) -> None:
    Path("model.py").write_text(model_text(form, "About."))
    Path("data.py").write_text(data_text(form))
    splits, network = load(LOAD), call_factory(MAKE)
    assert isinstance(network, torch.nn.Module)
    inputs, targets = next(iter(splits.train.epoch(batch_size=2)))
    outputs = network(inputs)
    assert outputs.shape == (2, *form.outputs)
    assert targets.shape == (2, *form.outputs[1:])
    assert torch.isfinite(torch.nn.functional.cross_entropy(outputs, targets))


def test_no_stub_is_written_for_sequences() -> None:
    with pytest.raises(UsageError, match=r"inputs of \(40, 100\); name a model"):
        model_text(Form((40, 100), (3,)), "About.")
