from __future__ import annotations

import pytest
import torch

import edgespiral
from edgespiral.core.errors import UsageError
from edgespiral.data import load
from edgespiral.zoo import build


def test_functions_are_at_the_top_and_unknown_names_are_not():
    assert callable(edgespiral.compress)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = edgespiral.nothing


def test_options_are_checked_before_anything_is_done(tmp_path):
    model = build("resnet8", classes=10, input_shape=(1, 8, 8))
    with pytest.raises(UsageError, match="epochs"):
        edgespiral.compress(model, "digits", out=tmp_path / "run", speedup=2.0, epochs=-1.0)
    with pytest.raises(UsageError, match="epoch"):
        edgespiral.compress(model, "digits", out=tmp_path / "run", speedup=2.0, epoch=1.0)
    assert not (tmp_path / "run").exists()


def test_export_then_measure(tmp_path):
    torch.manual_seed(0)
    model = build("resnet8", classes=10, input_shape=(1, 8, 8)).eval()
    parity = edgespiral.export_model(model, load("digits"), tmp_path / "model.onnx")
    assert parity.top1_agreement == 1.0
    (measurement,) = edgespiral.measure_models([tmp_path / "model.onnx"])
    assert measurement.target == "host-cpu"
    assert measurement.stats.count == sum(map(len, measurement.rounds_ms))
