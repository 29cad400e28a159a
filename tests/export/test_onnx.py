from __future__ import annotations

import onnx
import onnxruntime
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from edgespiral.core.errors import ExportError, RunFolderError
from edgespiral.export.onnx import OPSET, export_onnx
from edgespiral.export.parity import check_parity
from edgespiral.models.saved import trace
from edgespiral.tasks.classification import CLASSIFICATION


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 3))


def test_the_file_is_valid_with_fixed_named_inputs_and_outputs(model, tmp_path):
    export_onnx(model, tmp_path / "model.onnx", input_shape=(1, 8, 8), batch=2)
    found = onnx.load(tmp_path / "model.onnx")
    onnx.checker.check_model(found)
    (given,), (result,) = found.graph.input, found.graph.output
    assert (given.name, result.name) == ("input", "output")
    assert [d.dim_value for d in given.type.tensor_type.shape.dim] == [2, 1, 8, 8]
    assert found.opset_import[0].version == OPSET


def test_equal_weights_give_equal_bytes(model, tmp_path):
    for name in ("a.onnx", "b.onnx"):
        export_onnx(model, tmp_path / name, input_shape=(1, 8, 8))
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_it_is_silent_and_keeps_the_models_mode(model, tmp_path, capfd):
    model.train()
    model[1].eval()
    export_onnx(model, tmp_path / "model.onnx", input_shape=(1, 8, 8))
    assert [module.training for module in model] == [True, False, True, True]
    assert capfd.readouterr() == ("", "")


def test_batch_norms_are_folded_into_convolutions(model, tmp_path):
    export_onnx(model, tmp_path / "model.onnx", input_shape=(1, 8, 8))
    kinds = [node.op_type for node in onnx.load(tmp_path / "model.onnx").graph.node]
    assert "Conv" in kinds
    assert "BatchNormalization" not in kinds


class Newer(nn.Module):
    """Has what came to PyTorch after its exporter."""

    def __init__(self):
        super().__init__()
        self.shuffle, self.norm = nn.ChannelShuffle(2), nn.RMSNorm(8)
        self.query, self.key, self.head = nn.Linear(8, 16), nn.Linear(8, 8), nn.Linear(16, 4)

    def forward(self, x):
        rows = self.norm(self.shuffle(x).flatten(2).mT)
        query = self.query(rows).unflatten(-1, (4, 4)).transpose(1, 2)
        key = self.key(rows).unflatten(-1, (2, 4)).transpose(1, 2)
        heads = F.scaled_dot_product_attention(query, key, key, is_causal=True, enable_gqa=True)
        return self.head(F.rms_norm(heads.transpose(1, 2).flatten(2), (16,), eps=1e-3).mean(1))


def test_newer_operators_are_written_as_plain_ones(tmp_path):
    torch.manual_seed(0)
    model, inputs = Newer().eval(), torch.randn(1, 8, 3, 4)
    for number, form in enumerate((model, trace(model, inputs))):
        path = tmp_path / f"{number}.onnx"
        export_onnx(form, path, input_shape=(8, 3, 4))
        session = onnxruntime.InferenceSession(path)
        (outputs,) = session.run(None, {"input": inputs.numpy()})
        torch.testing.assert_close(torch.from_numpy(outputs), model(inputs))


def test_a_layer_without_an_onnx_form_is_named_on_one_line(tmp_path, capfd):
    class Projected(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Sequential(nn.LSTM(8, 16, proj_size=4))

        def forward(self, x):
            return self.inner(x)[0]

    with pytest.raises(ExportError, match="LSTMs with projections") as caught:
        export_onnx(Projected(), tmp_path / "model.onnx", input_shape=(5, 8))
    assert str(caught.value).endswith("(in inner.0)")
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_a_failed_export_leaves_the_file_before_it(model, tmp_path):
    path = tmp_path / "model.onnx"
    export_onnx(model, path, input_shape=(1, 8, 8))
    before = path.read_bytes()
    with pytest.raises(ExportError, match="cannot be written as ONNX"):
        export_onnx(model, path, input_shape=(3, 8, 8))
    assert path.read_bytes() == before


def test_an_operator_without_an_onnx_form_is_one_line(tmp_path):
    class Unknown(nn.Module):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return torch.linalg.eigvals(inputs).real

    with pytest.raises(ExportError, match="cannot be written as ONNX") as caught:
        export_onnx(Unknown(), tmp_path / "model.onnx", input_shape=(4, 4))
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "reorder",
    [
        lambda x: x.movedim(-1, 1),
        lambda x: torch.moveaxis(x, (-1, 1), (2, -1)),
        lambda x: torch.permute(x, (0, -1, -3, -2)),
        lambda x: x.swapaxes(-1, 1),
        lambda x: nn.functional.layer_norm(x.movedim(1, -1), (3,)).movedim(-1, 1),
    ],
    ids=["movedim", "two axes", "permute", "swapaxes", "layer norm of channels"],
)
def test_dimensions_may_be_counted_from_the_end(reorder, tmp_path):
    class Reordered(nn.Module):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return reorder(inputs).flatten(1)

    path, inputs = tmp_path / "model.onnx", [torch.rand(1, 3, 4, 6) for _ in range(4)]
    export_onnx(Reordered(), path, input_shape=(3, 4, 6))
    assert check_parity(Reordered(), path, inputs, task=CLASSIFICATION).agreement == 1.0


def test_a_missing_folder_is_named(model, tmp_path):
    with pytest.raises(RunFolderError, match="missing"):
        export_onnx(model, tmp_path / "missing" / "model.onnx", input_shape=(1, 8, 8))


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_recurrent_layers_are_one_operator_each_and_token_ids_whole_numbers(kind, tmp_path):
    class Text(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(9, 4)
            self.rnn = kind(4, 6, 2, batch_first=True, bidirectional=True)

        def forward(self, tokens):
            return self.rnn(self.embedding(tokens))[0].amax(1)

    torch.manual_seed(0)
    model, path = Text().eval(), tmp_path / "model.onnx"
    export_onnx(model, path, input_shape=(5,), dtype=torch.int64)
    found = onnx.load(path).graph
    assert found.input[0].type.tensor_type.elem_type == onnx.TensorProto.INT64
    assert [node.op_type for node in found.node].count(kind.__name__) == 2
    tokens = [torch.randint(0, 9, (1, 5)) for _ in range(4)]
    assert check_parity(model, path, tokens, task=CLASSIFICATION).agreement == 1.0
