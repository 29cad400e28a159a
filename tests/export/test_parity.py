from __future__ import annotations

import pytest
import torch
from torch import nn

from edgespiral.core.errors import ExportError
from edgespiral.export.onnx import export_onnx
from edgespiral.export.parity import check_parity


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
    parity = check_parity(*exported, batches())
    assert (parity.samples, parity.top1_agreement) == (4, 1.0)
    assert parity.max_abs_difference < 1e-5
    assert parity.sqnr_db is None or parity.sqnr_db > 80


def test_a_changed_model_fails_with_the_figures(exported):
    model, path = exported
    with torch.no_grad():
        model[3].bias += torch.tensor([0.0, 5.0, 0.0])
    with pytest.raises(ExportError, match=r"differs from PyTorch by 5.*top-1 agrees on"):
        check_parity(model, path, batches())


def test_outputs_that_are_not_finite_fail(exported):
    model, path = exported
    with torch.no_grad():
        model[3].bias[0] = float("nan")
    with pytest.raises(ExportError, match="not finite"):
        check_parity(model, path, batches())


def test_no_samples_fail(exported):
    with pytest.raises(ExportError, match="no samples"):
        check_parity(*exported, [])


def test_a_damaged_file_fails(exported):
    model, path = exported
    path.write_bytes(b"damaged")
    with pytest.raises(ExportError, match="cannot load"):
        check_parity(model, path, batches())


def test_the_models_mode_is_kept(exported):
    model, path = exported
    model.train()
    check_parity(model, path, batches())
    assert model.training


def test_inputs_of_another_batch_size_fail(exported):
    with pytest.raises(ExportError, match="ONNX Runtime cannot run it") as caught:
        check_parity(*exported, [torch.zeros(2, 1, 8, 8)])
    assert "\n" not in str(caught.value)
