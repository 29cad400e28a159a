import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from edgespiral.core.errors import ExportError, ModelError
from edgespiral.core.system.files import sha256_file
from edgespiral.data.stratified import Sampled, stratified
from edgespiral.export.graph import file_sha256
from edgespiral.export.int8.ranges import calibrated, least_squares_range, placeholder_ranges
from edgespiral.export.onnx import export_onnx
from edgespiral.measure.model_files import model_sha256


@pytest.fixture(scope="module")
def samples(digits):
    return stratified(digits.train, 40, seed=0, where="x")


def test_min_and_max_are_those_of_the_tensors(float_file, samples, a_recipe):
    found = calibrated(float_file, samples, a_recipe()).tensors
    session = onnxruntime.InferenceSession(str(float_file))
    outputs = np.concatenate([session.run(None, {"input": s.numpy()})[0] for s in samples.inputs])
    assert found["output"] == pytest.approx((outputs.min(), outputs.max()), rel=1e-5)
    inputs = torch.cat(samples.inputs)
    assert found["input"] == pytest.approx((float(inputs.min()), float(inputs.max())))


@pytest.mark.parametrize("method", ["entropy", "percentile", "mse"])
def test_other_methods_clip_within_what_was_seen(method, float_file, samples, a_recipe, capfd):
    whole = calibrated(float_file, samples, a_recipe()).tensors
    found = calibrated(float_file, samples, a_recipe(method=method, percentile=99.0)).tensors
    assert found.keys() == whole.keys()
    spans = {
        name: (high - low) / (whole[name][1] - whole[name][0])
        for name, (low, high) in found.items()
    }
    assert max(spans.values()) < 1.02
    assert min(spans.values()) < 0.99
    assert capfd.readouterr() == ("", "")


def test_a_range_is_found_once_for_a_model_a_recipe_and_samples(
    float_file, samples, a_recipe, tmp_path
):
    first = calibrated(float_file, samples, a_recipe(), tmp_path)
    [file] = tmp_path.iterdir()
    stored = json.loads(file.read_text())
    stored["tensors"]["output"] = [-1.0, 2.0]
    file.write_text(json.dumps(stored))
    assert calibrated(float_file, samples, a_recipe(), tmp_path).tensors["output"] == (-1.0, 2.0)
    calibrated(float_file, samples, a_recipe(method="mse"), tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    others = Sampled(samples.inputs, samples.targets, "other")
    assert calibrated(float_file, others, a_recipe(), tmp_path).tensors == first.tensors


def test_a_damaged_cache_is_made_again(float_file, samples, a_recipe, tmp_path):
    first = calibrated(float_file, samples, a_recipe(), tmp_path)
    next(tmp_path.iterdir()).write_text("{")
    assert calibrated(float_file, samples, a_recipe(), tmp_path) == first


def test_an_overflow_is_named(tmp_path, samples, a_recipe):
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Flatten(), nn.Linear(128, 10))
    with torch.no_grad():
        model[0].weight.fill_(1e38)
        model[2].weight.fill_(1e38)
    export_onnx(model, tmp_path / "m.onnx", input_shape=(1, 8, 8))
    with pytest.raises(ExportError, match="not finite on the calibration samples at "):
        calibrated(tmp_path / "m.onnx", samples, a_recipe())


def test_the_least_squares_range_clips_an_outlier_and_keeps_an_even_spread():
    edges = np.linspace(-10, 10, 2049, dtype=np.float32)
    spread = np.where(edges[:-1] >= 0, 10, 0)
    assert least_squares_range(spread, edges, 0.0, 10.0) == pytest.approx((0.0, 10.0))
    outlier = np.where((edges[:-1] >= 0) & (edges[:-1] < 4), 100_000, 0)
    outlier[-1] = 1
    low, high = least_squares_range(outlier, edges, 0.0, 10.0)
    assert low == 0.0
    assert 3.5 < high < 6
    assert least_squares_range(np.zeros(2048, dtype=np.int64), edges, 0.0, 0.0) == (0.0, 0.0)


def test_other_weights_beside_a_file_have_other_ranges(float_file, samples, a_recipe, tmp_path):
    path, weights, cache = tmp_path / "net.onnx", tmp_path / "net.data", tmp_path / "cache"
    onnx.save(
        onnx.load(float_file), path,
        save_as_external_data=True, location=weights.name, size_threshold=0,
    )  # fmt: skip
    before = calibrated(path, samples, a_recipe(), cache)
    assert before.model_sha256 == file_sha256(path) == model_sha256(path)
    assert file_sha256(float_file) == sha256_file(float_file)
    values = np.fromfile(weights, np.float32)
    (2 * values).tofile(weights)
    after = calibrated(path, samples, a_recipe(), cache)
    assert after.model_sha256 != before.model_sha256 != placeholder_ranges(path).model_sha256
    assert after.tensors["output"] != before.tensors["output"]
    weights.unlink()
    with pytest.raises(ModelError, match="cannot be read as an ONNX model"):
        calibrated(path, samples, a_recipe(), cache)
