from __future__ import annotations

import shutil

import pytest
import torch
from torch import nn

from edgespiral.core.errors import ExitCode, ExportError
from edgespiral.distill.evaluate import score
from edgespiral.export.onnx import export_onnx
from edgespiral.export.parity import FileScores
from edgespiral.spiral.shipping.judging import judged
from edgespiral.tasks.classification import CLASSIFICATION


class Whitened(nn.Module):
    """Takes the statistics of its batch, as the file of batch 1 cannot."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, inputs):
        return self.model(inputs) - self.model(inputs).mean(0, keepdim=True)


def test_the_accuracy_is_that_of_the_file_and_says_how_it_was_found(wide, digits, tmp_path):
    path, expected = tmp_path / "model.onnx", score(wide, digits.validation, task=CLASSIFICATION)
    export_onnx(wide, path, input_shape=digits.input_shape)
    found = judged(path, FileScores(digits.validation, CLASSIFICATION), expected=expected)
    right = sum(
        int(wide(inputs).argmax()) == int(label)
        for inputs, label in digits.validation.epoch(batch_size=1)
    )
    assert found.value == pytest.approx(100 * right / len(digits.validation))
    told = found.evaluation
    assert (told.computed_in, told.batch_size, told.samples) == ("fp32", 1, len(digits.validation))
    assert told.pytorch_score == expected
    assert told.runtime.startswith("ONNX Runtime ")


class Counted:
    """A split that counts how often it is gone through."""

    def __init__(self, source):
        self.source, self.passes = source, 0

    def __len__(self):
        return len(self.source)

    def epoch(self, *, batch_size, seed=None, first_batch=0):
        self.passes += 1
        return self.source.epoch(batch_size=batch_size, seed=seed, first_batch=first_batch)


def test_no_file_is_scored_twice_and_none_is_taken_for_another(wide, digits, tmp_path):
    path, split = tmp_path / "model.onnx", Counted(digits.validation)
    export_onnx(wide, path, input_shape=digits.input_shape)
    scores = FileScores(split, CLASSIFICATION)
    score_of_it = scores.of(path)
    assert scores.of(shutil.copy(path, tmp_path / "published.onnx")) == score_of_it > 80
    assert split.passes == 1
    export_onnx(Whitened(wide).eval(), path, input_shape=digits.input_shape)
    assert scores.of(path) < 40
    assert split.passes == 2


def test_a_file_that_is_right_less_often_than_pytorch_is_refused(wide, digits, tmp_path):
    path, model = tmp_path / "model.onnx", Whitened(wide).eval()
    export_onnx(model, path, input_shape=digits.input_shape)
    expected = score(model, digits.validation, task=CLASSIFICATION)
    assert expected > 80
    with torch.no_grad(), pytest.raises(ExportError, match="depends on the batch") as caught:
        judged(path, FileScores(digits.validation, CLASSIFICATION), expected=expected)
    assert f"of PyTorch {expected:.2f} %" in caught.value.what
    assert "the accuracy of the file is" in caught.value.what
    assert caught.value.exit_code == ExitCode.EXPORT
