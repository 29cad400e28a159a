"""A student that PyTorch compiles is trained as one that it does not."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from edgespiral.core.batches import DataSplits
from edgespiral.core.errors import ModelError
from edgespiral.data.tensors import StoredRows
from edgespiral.distill.settings import TrainSettings
from edgespiral.distill.trainer import Objective, train
from edgespiral.models.saved import trace
from edgespiral.tasks.classification import CLASSIFICATION

SETTINGS = TrainSettings(epochs=1, batch_size=16, learning_rate=0.1, precision="fp32")


def splits():
    inputs = torch.randn(64, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    rows = StoredRows(inputs, torch.arange(64) % 4)
    return DataSplits("toy", rows, rows, rows, tuple("abcd"), (1, 4, 4))


def student():
    torch.manual_seed(0)
    return trace(nn.Sequential(nn.Flatten(), nn.Linear(16, 4)), torch.zeros(2, 1, 4, 4))


def weight_of(model):
    return model.get_submodule("1").weight


def test_it_ends_with_the_same_weights(monkeypatch):
    compiled = []
    compiling = torch.compile

    def noted(model, **options):
        compiled.append(model)
        # Traced and guarded as ever, without the minute that a C++ compiler takes.
        return compiling(model, backend="eager", **options)

    monkeypatch.setattr(torch, "compile", noted)
    plain, other = student(), student()
    train(plain, splits(), SETTINGS, Objective(CLASSIFICATION))
    assert compiled == []
    train(other, splits(), replace(SETTINGS, compiles=True), Objective(CLASSIFICATION))
    assert compiled == [other]
    assert not torch.equal(weight_of(other), weight_of(student()))
    assert torch.allclose(weight_of(plain), weight_of(other), atol=1e-5)
    assert set(other.state_dict()) == set(plain.state_dict())


def test_a_checkpoint_is_of_both():
    assert SETTINGS.identity == replace(SETTINGS, compiles=True).identity


def test_what_cannot_be_compiled_is_one_line_that_says_what_to_leave_out(monkeypatch):
    def fails(_model):
        def called(*_):
            raise RuntimeError("no C++ compiler\nfound")

        return called

    monkeypatch.setattr(torch, "compile", fails)
    with pytest.raises(ModelError) as caught:
        train(student(), splits(), replace(SETTINGS, compiles=True), Objective(CLASSIFICATION))
    line = str(caught.value)
    assert "the compiled model fails at step 1: RuntimeError: no C++ compiler found" in line
    assert line.endswith("try it without --compile")
