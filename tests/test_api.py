from __future__ import annotations

import pytest
import torch

import edgespiral
from edgespiral.core.errors import EdgeSpiralError, UsageError
from edgespiral.data import load
from edgespiral.models import build


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


@pytest.mark.parametrize(
    ("model", "data", "options", "problem"),
    [
        (None, "digits", {}, "model: a NoneType is no model"),
        (torch.nn.Flatten(), "digits", {"weights": "w.pt"}, "weights: a module has its weights"),
        (torch.nn.Flatten(), None, {}, "data: no splits, but a NoneType"),
        (torch.nn.Flatten(), {"train": []}, {}, "data: the mapping lacks validation, test"),
    ],
)
def test_what_is_no_model_or_data_is_told(tmp_path, model, data, options, problem):
    with pytest.raises(EdgeSpiralError, match=problem):
        edgespiral.compress(model, data, out=tmp_path / "run", speedup=2.0, **options)
    assert not (tmp_path / "run").exists()


class Samples(torch.utils.data.Dataset):
    """Noise of two classes."""

    classes = ("even", "odd")

    def __len__(self):
        return 64

    def __getitem__(self, index):
        return torch.randn(1, 8, 8), index % 2


def test_a_mapping_of_data_sets_is_compressed_on(tmp_path):
    given = {part: Samples() for part in ("train", "validation", "test")}
    net = build("resnet8", classes=2, input_shape=(1, 8, 8))
    done = edgespiral.compress(
        net, given, out=tmp_path / "run",
        speedup=1.3, epochs=1.0, max_drop=100.0, batch_size=32, latency_cache=tmp_path / "cache",
    )  # fmt: skip
    assert done.result.speedup.value >= 1.3


def test_export_then_measure(tmp_path):
    torch.manual_seed(0)
    model = build("resnet8", classes=10, input_shape=(1, 8, 8)).eval()
    parity = edgespiral.export_model(model, load("digits"), tmp_path / "model.onnx")
    assert parity.top1_agreement == 1.0
    (measurement,) = edgespiral.measure_models([tmp_path / "model.onnx"])
    assert measurement.target == "host-cpu"
    assert measurement.stats.count == sum(map(len, measurement.rounds_ms))
