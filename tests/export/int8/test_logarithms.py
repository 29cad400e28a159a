import onnx
import pytest
import torch
from torch import nn

from edgespiral import models
from edgespiral.core import audio
from edgespiral.export.graph import load_graph
from edgespiral.export.int8.logarithms import before_logarithms

RATE_HZ = 8000
SAMPLES = audio.whole_samples(4000, RATE_HZ)


class LogAtTheEnd(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(8, 8), nn.Linear(8, 4)

    def forward(self, inputs):
        return torch.log(self.last(torch.relu(self.first(inputs))).abs() + 1)


def exported(model, shape, path):
    inputs = torch.zeros(1, *shape)
    torch.onnx.export(model.eval(), (inputs,), str(path), opset_version=17, dynamo=False)
    return load_graph(path)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_makes_the_features_stays_in_float_and_the_network_does_not(tmp_path):
    model = models.build("ds-cnn", classes=4, input_shape=(1, SAMPLES), sample_rate_hz=RATE_HZ)
    graph = exported(model, (1, SAMPLES), tmp_path / "a.onnx")
    kept = before_logarithms(graph)
    kinds = {node.name: node.op_type for node in graph.graph.node}
    assert [kinds[name] for name in kept] == ["MatMul", "MatMul"]
    assert set(kept.values()) == {"the logarithm of what it makes is taken"}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_activation_is_the_end_of_what_is_looked_through(tmp_path):
    graph = exported(LogAtTheEnd(), (8,), tmp_path / "a.onnx")
    kept = before_logarithms(graph)
    assert len(kept) == 1
    layers = [n.name for n in graph.graph.node if n.op_type in ("Gemm", "MatMul")]
    assert list(kept) == layers[-1:]
    plain = exported(LogAtTheEnd().last, (8,), tmp_path / "b.onnx")
    assert before_logarithms(plain) == {}
    assert onnx.checker.check_model(plain) is None
