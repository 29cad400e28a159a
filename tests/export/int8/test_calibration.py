import math
from dataclasses import replace

import onnx
import pytest
import torch
from torch import nn

from edgespiral import tasks
from edgespiral.core.batches import DataSplits
from edgespiral.core.errors import DataError, ExportError, UsageError
from edgespiral.core.records.metric import Metric
from edgespiral.core.system.files import sha256_file
from edgespiral.data.stratified import stratified
from edgespiral.data.tensors import Normalisation, StoredRows, TensorSource
from edgespiral.export.int8.calibration import (
    calibrate,
    check_as_right_as_known,
    float_layers,
    prepare,
    right_answers,
    spread,
)
from edgespiral.export.onnx import export_onnx
from edgespiral.tasks.classification import CLASSIFICATION, Classification
from edgespiral.tasks.shared.own import OwnTask


def as_source(inputs, labels):
    shape = (inputs.shape[1],)
    return TensorSource(inputs, labels, Normalisation(torch.zeros(shape), torch.ones(shape)))


def whole(source):
    inputs, labels = zip(*source.epoch(batch_size=250), strict=True)
    return torch.cat(inputs), torch.cat(labels)


def test_the_record_says_how_to_make_it_again(float_file, digits, a_recipe, tmp_path):
    recipe = a_recipe(exclude=["/left/Conv"])
    path = tmp_path / "q.onnx"
    found = calibrate(float_file, path, digits, recipe, form="onnxruntime", task=CLASSIFICATION)
    again = calibrate(
        float_file, tmp_path / "r.onnx", digits, recipe, form="onnxruntime", task=CLASSIFICATION
    )
    assert (found.sha256, found.source_sha256) == (sha256_file(path), sha256_file(float_file))
    assert found == again
    assert found.kept_float == {"/left/Conv": "excluded by recipe test"}
    assert [error.layer for error in found.layers if error.own_sqnr_db is None] == ["/left/Conv"]


def test_layers_that_the_runtime_runs_in_float_are_seen(float_file, digits, a_recipe, tmp_path):
    path = tmp_path / "q.onnx"
    calibrate(float_file, path, digits, a_recipe(), form="onnxruntime", task=CLASSIFICATION)
    assert float_layers(path) == []
    calibrate(float_file, path, digits, a_recipe(), form="tensorrt", task=CLASSIFICATION)
    assert "/stem/Conv" in float_layers(path)


def test_another_shape_is_refused(float_file, digits, a_recipe, tmp_path):
    other = replace(digits, input_shape=(3, 32, 32))
    with pytest.raises(DataError, match=r"inputs are \(3, 32, 32\), .* takes \(1, 8, 8\)"):
        calibrate(
            float_file, tmp_path / "q.onnx", other, a_recipe(), form="tensorrt", task=CLASSIFICATION
        )


def test_other_classes_are_refused(float_file, digits, a_recipe, tmp_path):
    other = replace(digits, class_names=("even", "odd"))
    with pytest.raises(DataError, match=r"returns \(1, 10\) .*not logits of shape \(1, 2\)"):
        calibrate(
            float_file, tmp_path / "q.onnx", other, a_recipe(), form="tensorrt", task=CLASSIFICATION
        )


@pytest.mark.parametrize(
    ("task", "names", "shape", "outputs", "targets"),
    [
        ("binary", ("no", "yes"), (), (1,), torch.arange(40) % 2),
        ("speech-recognition", ("<blank>", " ", "a"), None, (6, 3), torch.full((40, 1), 2)),
    ],
    ids=["one logit for two classes", "frames"],
)
def test_outputs_are_what_the_task_makes_of_them(
    task, names, shape, outputs, targets, a_recipe, tmp_path
):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(64, math.prod(outputs)), nn.Unflatten(1, outputs)
    ).eval()
    path = tmp_path / "float.onnx"
    export_onnx(model, path, input_shape=(1, 8, 8))
    source = StoredRows(torch.randn(40, 1, 8, 8), targets)
    splits = DataSplits("made", source, source, source, names, (1, 8, 8), target_shape=shape)
    recipe, aim = a_recipe(), tasks.load(task)
    made = calibrate(path, tmp_path / "q.onnx", splits, recipe, form="tensorrt", task=aim)
    assert [layer.own_sqnr_db is not None for layer in made.layers] == [True]


@pytest.mark.parametrize("spoilt", ["scaling", "labels"])
def test_another_range_or_meaning_is_seen(spoilt, float_file, digits, a_recipe, tmp_path):
    inputs, labels = whole(digits.train)
    if spoilt == "scaling":
        inputs = -40.0 * inputs
    else:
        labels = (labels + 3) % 10
    other = replace(digits, train=as_source(inputs, labels))
    with pytest.raises(DataError, match=r"float model is right on \d+ of 40 .*scaling"):
        calibrate(
            float_file, tmp_path / "q.onnx", other, a_recipe(), form="tensorrt", task=CLASSIFICATION
        )
    assert not (tmp_path / "q.onnx").exists()


def test_less_right_than_known_is_refused(float_file, digits):
    samples = stratified(digits.train, 40, seed=0, where="x")
    right = 100.0 * right_answers(float_file, samples, task=CLASSIFICATION) / 40
    check_as_right_as_known(float_file, samples, right, "digits: train", task=CLASSIFICATION)
    dark = replace(samples, inputs=tuple(0.02 * sample for sample in samples.inputs))
    with pytest.raises(DataError, match=r"digits: train: .* right on \d+ of 40 .* written down"):
        check_as_right_as_known(float_file, dark, right, "digits: train", task=CLASSIFICATION)


def test_only_a_score_that_counts_right_samples_is_held_against_them(float_file, digits):
    class OfRareClasses(Classification):
        metric = Metric(name="balanced")

    samples = stratified(digits.train, 40, seed=0, where="x")
    dark = replace(samples, inputs=tuple(0.02 * sample for sample in samples.inputs))
    for task in (OfRareClasses(), OwnTask(OfRareClasses())):
        check_as_right_as_known(float_file, dark, 100.0, "digits: train", task)
    with pytest.raises(DataError, match="written down"):
        check_as_right_as_known(float_file, dark, 100.0, "x", OwnTask(Classification()))


def test_more_samples_than_there_are_is_refused(float_file, digits, a_recipe, tmp_path):
    recipe = a_recipe(samples=100_000)
    with pytest.raises(DataError, match="digits: train: 100000 samples are asked for, there are"):
        calibrate(
            float_file, tmp_path / "q.onnx", digits, recipe, form="tensorrt", task=CLASSIFICATION
        )


def test_a_batch_is_refused(trained, digits, a_recipe, tmp_path):
    export_onnx(trained, tmp_path / "m.onnx", input_shape=(1, 8, 8), batch=4)
    with pytest.raises(ExportError, match="takes batches of 4"):
        calibrate(
            tmp_path / "m.onnx",
            tmp_path / "q.onnx",
            digits,
            a_recipe(),
            form="tensorrt",
            task=CLASSIFICATION,
        )


def test_the_file_passes_the_checker_and_shares_nothing_with_the_source(
    float_file, digits, a_recipe, tmp_path
):
    before = float_file.read_bytes()
    calibrate(
        float_file, tmp_path / "q.onnx", digits, a_recipe(), form="tensorrt", task=CLASSIFICATION
    )
    onnx.checker.check_model(str(tmp_path / "q.onnx"), full_check=True)
    assert float_file.read_bytes() == before


def test_samples_are_spread_over_all():
    assert list(spread(range(100), 10)) == list(range(0, 100, 10))
    assert list(spread(range(3), 10)) == [0, 1, 2]
    assert len(spread(range(101), 10)) <= 10


def test_layers_that_a_student_has_lost_are_not_missed(float_file, digits, a_recipe):
    recipe = a_recipe(exclude=["/gone/Conv", "/left/*"])
    with pytest.raises(UsageError, match="/gone/Conv"):
        prepare(float_file, digits, recipe, form="onnxruntime", task=CLASSIFICATION)
    made = prepare(
        float_file, digits, recipe, form="onnxruntime", known_data=True, task=CLASSIFICATION
    )
    assert made.excluded == ("/left/Conv",)
