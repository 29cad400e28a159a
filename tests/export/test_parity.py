from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from torch import nn

from edgespiral.core.errors import ExportError
from edgespiral.data.stratified import stratified
from edgespiral.data.tensors import Normalisation, TensorSource
from edgespiral.export.int8.convert import write_int8
from edgespiral.export.int8.ranges import calibrated
from edgespiral.export.onnx import export_onnx
from edgespiral.export.parity import (
    LIMITS,
    ParityLimits,
    check_parity,
    check_score,
    file_score,
    predicting_file,
)
from edgespiral.tasks.classification import CLASSIFICATION


@pytest.fixture
def exported(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 3))
    export_onnx(model, tmp_path / "model.onnx", input_shape=(1, 8, 8))
    return model, tmp_path / "model.onnx"


def batches(count=4):
    return (
        torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(i)) for i in range(count)
    )


def test_a_faithful_export_passes_with_its_figures(exported):
    parity = check_parity(*exported, batches(), task=CLASSIFICATION)
    assert (parity.samples, parity.agreement) == (4, 1.0)
    assert parity.max_abs_difference < 1e-5
    assert parity.sqnr_db is None or parity.sqnr_db > 80


def test_a_changed_model_fails_with_the_figures(exported):
    model, path = exported
    with torch.no_grad():
        model[3].bias += torch.tensor([0.0, 5.0, 0.0])
    with pytest.raises(ExportError, match=r"differs from PyTorch by 5.*decisions agree on"):
        check_parity(model, path, batches(), task=CLASSIFICATION)


def test_outputs_that_are_not_finite_fail(exported):
    model, path = exported
    with torch.no_grad():
        model[3].bias[0] = float("nan")
    with pytest.raises(ExportError, match="not finite"):
        check_parity(model, path, batches(), task=CLASSIFICATION)


def test_no_samples_fail(exported):
    with pytest.raises(ExportError, match="no samples"):
        check_parity(*exported, [], task=CLASSIFICATION)


def test_a_damaged_file_fails(exported):
    model, path = exported
    path.write_bytes(b"damaged")
    with pytest.raises(ExportError, match="cannot load"):
        check_parity(model, path, batches(), task=CLASSIFICATION)


def test_the_models_mode_is_kept(exported):
    model, path = exported
    model.train()
    check_parity(model, path, batches(), task=CLASSIFICATION)
    assert model.training


def test_inputs_of_another_batch_size_fail(exported):
    with pytest.raises(ExportError, match="ONNX Runtime cannot run it") as caught:
        check_parity(*exported, [torch.zeros(2, 1, 8, 8)], task=CLASSIFICATION)
    assert "\n" not in str(caught.value)


def test_the_ratio_and_the_agreement_have_limits_of_their_own(exported):
    model, path = exported
    with torch.no_grad():
        model[3].bias += 0.05
    assert (
        check_parity(
            model, path, batches(), limits=ParityLimits(least_sqnr_db=5.0), task=CLASSIFICATION
        ).sqnr_db
        > 5
    )
    with pytest.raises(ExportError, match=r"dB below the output, 90 dB are needed.*recipe"):
        check_parity(
            model, path, batches(), limits=ParityLimits(least_sqnr_db=90.0), task=CLASSIFICATION
        )
    with torch.no_grad():
        model[3].bias -= torch.tensor([0.0, 0.0, 9.0])
    with pytest.raises(ExportError, match=r"decisions agree on \d+\.\d%: 100% are needed"):
        check_parity(
            model, path, batches(16), limits=ParityLimits(least_agreement=1.0), task=CLASSIFICATION
        )


def test_a_failure_names_the_layer_that_diverges_first(
    trained, float_file, digits, a_recipe, tmp_path
):
    ranges = calibrated(float_file, stratified(digits.train, 40, seed=0, where="x"), a_recipe())
    reader = next(name for name in ranges.tensors if name.startswith("/Relu_1"))
    bad = {**ranges.tensors, reader: (0.0, 1e-3)}
    path = tmp_path / "q.onnx"
    write_int8(float_file, path, ranges.model_copy(update={"tensors": bad}), form="tensorrt")
    samples = [inputs for inputs, _ in digits.validation.epoch(batch_size=1)][:16]
    limits = ParityLimits(least_sqnr_db=30.0)
    with pytest.raises(ExportError, match=r"the first layer to diverge is /right/Conv, which has"):
        check_parity(trained, path, samples, limits=limits, source=float_file, task=CLASSIFICATION)


def test_a_good_int8_file_is_within_its_limits(trained, float_file, digits, a_recipe, tmp_path):
    ranges = calibrated(float_file, stratified(digits.train, 40, seed=0, where="x"), a_recipe())
    write_int8(float_file, tmp_path / "q.onnx", ranges, form="onnxruntime")
    samples = [inputs for inputs, _ in digits.validation.epoch(batch_size=1)][:64]
    parity = check_parity(
        trained,
        tmp_path / "q.onnx",
        samples,
        limits=LIMITS["int8"],
        source=float_file,
        task=CLASSIFICATION,
    )
    assert parity.agreement >= 0.95
    assert 15 < parity.sqnr_db < 60


def test_a_files_accuracy_is_that_of_the_model(trained, float_file, digits):
    right = sum(
        int((trained(inputs).argmax(1) == labels).sum())
        for inputs, labels in digits.validation.epoch(batch_size=50)
    )
    accuracy = file_score(float_file, digits.validation, task=CLASSIFICATION)
    assert accuracy == pytest.approx(100 * right / len(digits.validation))
    assert accuracy > 50


def test_a_file_says_of_a_batch_what_it_says_of_each_sample(trained, float_file, digits):
    inputs, _ = next(digits.validation.epoch(batch_size=50))
    with predicting_file(float_file) as predict:
        assert torch.allclose(predict(inputs), trained(inputs), atol=1e-4)
        assert predict(inputs[:1]).shape == (1, 10)


@pytest.mark.parametrize(
    ("form", "accuracy", "refused"),
    [("fp32", 91.0, False), ("fp32", 90.0, True), ("fp32", 94.0, True), ("fp16", 90.0, False),
     ("fp16", 88.0, True), ("int8", 20.0, False)],
)  # fmt: skip
def test_a_files_accuracy_may_differ_by_what_rounding_turns_over(form, accuracy, refused):
    told = pytest.raises(ExportError, match=f"is {accuracy:.2f} % on 270 .*, of PyTorch 92.00 %")
    with told if refused else nullcontext():
        check_score(Path("model.onnx"), accuracy, 92.0, 270, form, task=CLASSIFICATION)


class LateOverflow(nn.Module):
    def forward(self, inputs):
        return torch.exp(200 * inputs.flatten(1).amax(1, keepdim=True)) + inputs.flatten(1)[:, :3]


def test_a_file_that_overflows_on_one_late_sample_has_no_score(tmp_path):
    export_onnx(LateOverflow(), tmp_path / "model.onnx", input_shape=(1, 2, 2))
    inputs = torch.zeros(300, 1, 2, 2)
    labels = torch.zeros(300, dtype=torch.int64)
    plain = Normalisation(torch.zeros(1), torch.ones(1))
    assert (
        file_score(
            tmp_path / "model.onnx", TensorSource(inputs, labels, plain), task=CLASSIFICATION
        )
        == 100
    )
    inputs[299] = 1
    with pytest.raises(ExportError, match=r"model\.onnx: outputs are not finite"):
        file_score(
            tmp_path / "model.onnx", TensorSource(inputs, labels, plain), task=CLASSIFICATION
        )


class LeavesTorch(nn.Module):
    def forward(self, inputs):
        return torch.from_numpy(inputs.detach().numpy().mean((2, 3)))


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_a_model_that_leaves_torch_is_told_so(tmp_path):
    path = tmp_path / "model.onnx"
    export_onnx(LeavesTorch(), path, input_shape=(1, 8, 8))
    with pytest.raises(ExportError, match=r"has no input: .* fixed when it was exported; use"):
        check_parity(LeavesTorch(), path, batches(), task=CLASSIFICATION)
