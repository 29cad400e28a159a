import logging

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from edgespiral.core.errors import ExportError, UsageError
from edgespiral.data.stratified import stratified
from edgespiral.export.int8.convert import excluded_layers, write_int8
from edgespiral.export.int8.ranges import calibrated
from edgespiral.export.onnx import export_onnx


@pytest.fixture(scope="module")
def ranges(float_file, digits):
    from edgespiral.export.recipe import Recipe

    recipe = Recipe.model_validate({"schema": 1, "name": "test", "samples": 40})
    return calibrated(float_file, stratified(digits.train, 40, seed=0, where="x"), recipe)


@pytest.fixture
def written(float_file, ranges, tmp_path):
    """Makes the graph of a form, with its nodes by maker and its initial values."""

    def make(form, **options):
        write_int8(float_file, tmp_path / "int8.onnx", ranges, form=form, **options)
        graph = onnx.load(tmp_path / "int8.onnx").graph
        makers = {name: node for node in graph.node for name in node.output}
        return graph, makers, {t.name: numpy_helper.to_array(t) for t in graph.initializer}

    return make


def layers(graph):
    return [node for node in graph.node if node.op_type in ("Conv", "Gemm")]


@pytest.mark.parametrize("form", ["tensorrt", "onnxruntime"])
def test_every_layer_reads_int8_data_and_int8_weights_by_channel(written, form):
    graph, makers, values = written(form)
    assert len(layers(graph)) == 4
    for node in layers(graph):
        data, weights = makers[node.input[0]], makers[node.input[1]]
        assert data.op_type == weights.op_type == "DequantizeLinear"
        assert makers[data.input[0]].op_type == "QuantizeLinear"
        stored, scale, zero = (values[name] for name in weights.input)
        assert stored.dtype == np.int8
        assert scale.shape == (stored.shape[0] if node.op_type == "Conv" else scale.size,)
        assert scale.size == 16 or node.op_type == "Gemm"
        assert not zero.any()


def test_the_tensorrt_form_keeps_its_rules(written):
    graph, makers, values = written("tensorrt")
    pairs = [node for node in graph.node if node.op_type == "QuantizeLinear"]
    for node in pairs:
        assert values[node.input[2]] == 0
        assert values[node.input[2]].dtype == np.int8
    for node in layers(graph):
        assert values[node.input[2]].dtype == np.float32
        users = [user.op_type for user in graph.node if node.output[0] in user.input]
        assert "QuantizeLinear" not in users
    [addition] = [node for node in graph.node if node.op_type == "Add"]
    kinds = sorted(makers[name].op_type for name in addition.input)
    assert kinds == ["Conv", "DequantizeLinear"]


def test_the_onnxruntime_form_rounds_away_its_relus(written):
    graph, _, values = written("onnxruntime")
    assert not [node for node in graph.node if node.op_type == "Relu"]
    zeros = [values[n.input[2]] for n in graph.node if n.op_type == "QuantizeLinear"]
    assert {zero.dtype for zero in zeros} == {np.dtype(np.uint8)}


@pytest.mark.parametrize("form", ["tensorrt", "onnxruntime"])
def test_outputs_stay_float(written, form):
    _, makers, _ = written(form)
    assert makers["output"].op_type == "Gemm"


@pytest.mark.parametrize("form", ["tensorrt", "onnxruntime"])
def test_a_layer_kept_in_float_has_float_weights(written, float_file, form):
    names = [node.name for node in layers(onnx.load(float_file).graph)]
    graph, _, values = written(form, keep_float=[names[1]])
    kept = next(node for node in graph.node if node.name == names[1])
    assert values[kept.input[1]].dtype == np.float32


def test_what_has_no_int8_kernel_stays_float_and_is_told(tmp_path, digits, a_recipe):
    class Sequence(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(8, 8, batch_first=True)
            self.head = nn.Linear(8, 10)

        def forward(self, inputs):
            return self.head(self.lstm(inputs[:, 0])[0][:, -1])

    source = tmp_path / "m.onnx"
    export_onnx(Sequence(), source, input_shape=(1, 8, 8))
    found = calibrated(source, stratified(digits.train, 20, seed=0, where="x"), a_recipe())
    kept = write_int8(source, tmp_path / "q.onnx", found, form="onnxruntime")
    assert kept == {"/lstm/LSTM": "no int8 kernel for LSTM"}


def test_a_quantised_model_is_not_quantised_again(float_file, ranges, tmp_path):
    once = tmp_path / "once.onnx"
    write_int8(float_file, once, ranges, form="tensorrt")
    with pytest.raises(ExportError, match="quantised already"):
        write_int8(once, tmp_path / "twice.onnx", ranges, form="tensorrt")
    assert not (tmp_path / "twice.onnx").exists()


def test_nothing_left_to_quantise_is_an_error(float_file, ranges, tmp_path):
    names = [node.name for node in layers(onnx.load(float_file).graph)]
    with pytest.raises(ExportError, match="no layer is left to run in int8"):
        write_int8(float_file, tmp_path / "q.onnx", ranges, form="tensorrt", keep_float=names)


def test_an_open_size_is_refused_and_an_open_batch_is_not(float_file, ranges, tmp_path):
    model = onnx.load(float_file)
    sizes = model.graph.input[0].type.tensor_type.shape.dim
    sizes[0].dim_param = "batch"
    onnx.save(model, tmp_path / "batch.onnx")
    write_int8(tmp_path / "batch.onnx", tmp_path / "q.onnx", ranges, form="tensorrt")
    [given] = onnxruntime.InferenceSession(tmp_path / "q.onnx").get_inputs()
    assert given.shape[0] == "batch"
    for size in ({"dim_param": "height"}, {"dim_value": 0}):
        sizes[2].CopyFrom(onnx.TensorShapeProto.Dimension(**size))
        onnx.save(model, tmp_path / "dynamic.onnx")
        with pytest.raises(ExportError, match=r"dynamic\.onnx: its input input has no fixed shape"):
            write_int8(tmp_path / "dynamic.onnx", tmp_path / "q.onnx", ranges, form="tensorrt")


def test_excluded_layers_go_by_pattern(float_file):
    assert excluded_layers(float_file, ["/left/*", "/stem/Conv"], where="r") == [
        "/stem/Conv",
        "/left/Conv",
    ]
    with pytest.raises(
        UsageError, match=r"r:exclude: unknown layer '/lef/Conv'; did you mean /left"
    ):
        excluded_layers(float_file, ["/lef/Conv"], where="r")


def test_logging_is_as_before(float_file, ranges, tmp_path, capfd):
    before = logging.root.manager.disable
    write_int8(float_file, tmp_path / "q.onnx", ranges, form="onnxruntime")
    assert logging.root.manager.disable == before
    assert capfd.readouterr() == ("", "")


def test_equal_ranges_give_equal_bytes(float_file, ranges, tmp_path):
    torch.manual_seed(1)
    for name in "ab":
        write_int8(float_file, tmp_path / name, ranges, form="onnxruntime")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
