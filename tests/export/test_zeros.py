from __future__ import annotations

import onnx
import pytest
import torch
from torch import nn

from edgespiral.core.errors import ModelError
from edgespiral.export.onnx import export_onnx
from edgespiral.export.precision import convert_untrained
from edgespiral.export.zeros import compressed_bytes, read_zeros


class Net(nn.Module):
    """A convolution with batch norm, a product of matrices, a GRU and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(4, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.mix = nn.Linear(8, 8)
        self.gru = nn.GRU(8, 8, batch_first=True)
        self.head = nn.Linear(8, 4)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        maps = torch.relu(self.norm(self.conv(inputs)))
        frames = self.mix(maps.mean(2).transpose(1, 2))
        return self.head(self.gru(frames)[0].mean(1))


@pytest.fixture
def net() -> Net:
    torch.manual_seed(0)
    return Net().eval()


def written(net: Net, path, precision="fp32"):
    export_onnx(net, path, input_shape=(4, 6, 6))
    return convert_untrained(path, precision, "onnxruntime")


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_zeros_are_found_in_every_kind_of_layer_and_precision(net, tmp_path, precision):
    with torch.no_grad():
        net.conv.weight[:, :2] = 0
        net.mix.weight[:, ::2] = 0
        net.head.weight[0] = 0
        net.gru.weight_hh_l0[:6] = 0
    rows = read_zeros(written(net, tmp_path / "model.onnx", precision))
    found = {row.operator: row for row in rows}
    assert list(found) == ["Conv", "MatMul", "GRU", "Gemm"]
    least = {"Conv": (288, 144), "MatMul": (64, 32), "GRU": (384, 48), "Gemm": (32, 8)}
    for operator, (weights, zeros) in least.items():
        assert found[operator].weights == weights
        # Rounding to 8 bits may make a few more.
        slack = 0.03 * weights if precision == "int8" else 0
        assert zeros <= found[operator].zeros <= zeros + slack
    assert [row.two_four for row in rows] == [True, True, False, False]


def test_dense_weights_are_not_two_four(net, tmp_path):
    rows = read_zeros(written(net, tmp_path / "model.onnx"))
    assert not any(row.two_four or row.zeros for row in rows)


def test_zeros_make_the_compressed_file_smaller(net, tmp_path):
    path = tmp_path / "model.onnx"
    dense = compressed_bytes(written(net, path))
    assert dense < path.stat().st_size * 1.1
    with torch.no_grad():
        net.gru.weight_hh_l0.zero_()
    assert compressed_bytes(written(net, path)) < dense - 500


def test_files_without_weights_or_of_another_kind_are_refused(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(ModelError, match="cannot be read as an ONNX model"):
        read_zeros(path)
    graph = onnx.helper.make_graph([], "empty", [], [])
    onnx.save(onnx.helper.make_model(graph), path)
    with pytest.raises(ModelError, match="has no layer with weights"):
        read_zeros(path)
