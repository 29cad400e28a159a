import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto
from torch import nn

from edgespiral.core.errors import ExportError
from edgespiral.export.fp16 import write_fp16
from edgespiral.export.onnx import export_onnx
from edgespiral.export.parity import LIMITS, check_parity
from edgespiral.tasks.classification import CLASSIFICATION


def samples(count=4):
    torch.manual_seed(1)
    return list(torch.randn(count, 1, 1, 8, 8))


def net(stem=1.0, inner=1.0):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(64, 3)
    )
    with torch.no_grad():
        model[0].weight *= stem
        model[2].weight *= inner
        # What overflows in between comes back at the end.
        model[4].weight /= stem * inner
    return model.eval()


def test_weights_are_half_and_inputs_and_outputs_are_not(tmp_path):
    model, source, path = net(), tmp_path / "m.onnx", tmp_path / "h.onnx"
    export_onnx(model, source, input_shape=(1, 8, 8))
    write_fp16(source, path, samples())
    graph = onnx.load(path).graph
    kinds = {value.type.tensor_type.elem_type for value in (*graph.input, *graph.output)}
    assert kinds == {TensorProto.FLOAT}
    assert TensorProto.FLOAT not in {tensor.data_type for tensor in graph.initializer}
    parity = check_parity(
        model, path, samples(), limits=LIMITS["fp16"], source=source, task=CLASSIFICATION
    )
    assert 40 < parity.sqnr_db < 100


def test_a_layer_that_overflows_is_named(tmp_path):
    source = tmp_path / "m.onnx"
    export_onnx(net(stem=300.0, inner=3000.0), source, input_shape=(1, 8, 8))
    with pytest.raises(ExportError, match=r"layer /2/Conv reaches \d.*, fp16 ends at 65504"):
        write_fp16(source, tmp_path / "h.onnx", samples())
    assert not (tmp_path / "h.onnx").exists()


def test_a_weight_that_overflows_is_named(tmp_path):
    source = tmp_path / "m.onnx"
    export_onnx(net(stem=1e6), source, input_shape=(1, 8, 8))
    with pytest.raises(ExportError, match=r"weight 0\.weight reaches"):
        write_fp16(source, tmp_path / "h.onnx", samples())


def test_a_weight_that_is_not_a_number_is_named(tmp_path):
    model = net()
    with torch.no_grad():
        model[2].weight[0, 0, 0, 0] = np.nan
    export_onnx(model, tmp_path / "m.onnx", input_shape=(1, 8, 8))
    with pytest.raises(ExportError, match=r"weight 2\.weight is not finite"):
        write_fp16(tmp_path / "m.onnx", tmp_path / "h.onnx", samples())
