"""Random small graphs, written in all the ways that ONNX allows: int8 is near float, or refused."""

from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edgespiral.core.errors import ExportError
from edgespiral.data import load
from edgespiral.export.int8.calibration import prepare
from edgespiral.export.parity import LIMITS, Reference
from edgespiral.export.precision import validation_samples, write_like_float
from edgespiral.export.recipe import Recipe
from edgespiral.measure.runtimes.weighted_layers import weighted_layers
from edgespiral.tasks.classification import CLASSIFICATION

RECIPE = Recipe.model_validate({"schema": 1, "name": "few", "samples": 12})
DIGITS = load("digits")
# Operators on images of 8 channels and 8x8 pixels, which leave that shape.
STEPS = (
    *("conv", "depthwise", "shared", "relu", "clip", "leaky", "norm", "pool", "add", "double"),
    *("scale", "turn", "pass", "sigmoid"),
)


@dataclass
class Sketch:
    """A graph in the making; `held` says where its weights go."""

    held: str
    spread: float
    opset: int
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: dict[str, np.ndarray] = field(default_factory=dict)
    shared: str = ""

    def add(self, operator, inputs, **attributes):
        """The output of one more node."""
        output = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def weight(self, *shape):
        """The name of random weights; with a spread, their channels differ in size."""
        source, name = np.random.default_rng(len(self.weights)), f"w{len(self.weights)}"
        values = source.normal(size=shape) / np.sqrt(np.prod(shape[1:]) or 1)
        sizes = self.spread ** source.uniform(-1, 1, shape[:1])
        self.weights[name] = (values * sizes.reshape(-1, *(1,) * (len(shape) - 1))).astype("f4")
        if self.held == "identity":
            return self.add("Identity", [name])
        return name


def convolution(sketch, tensor, group=1):
    inputs = [tensor, sketch.weight(8, 8 // group, 3, 3), sketch.weight(8)]
    return sketch.add("Conv", inputs, pads=[1] * 4, group=group)


def shared(sketch, tensor):
    sketch.shared = sketch.shared or sketch.weight(8, 8, 3, 3)
    return sketch.add("Conv", [tensor, sketch.shared], pads=[1] * 4)


def norm(sketch, tensor):
    sketch.weights.update(one=np.ones(8, "f4"), zero=np.zeros(8, "f4"))
    return sketch.add("BatchNormalization", [tensor, "one", "zero", "zero", "one"])


def clip(sketch, tensor):
    sketch.weights.update(low=np.zeros((), "f4"), high=np.full((), 6, "f4"))
    return sketch.add("Clip", [tensor, "low", "high"])


def double(sketch, tensor):
    both = sketch.add("Concat", [tensor, convolution(sketch, tensor)], axis=1)
    return sketch.add("Conv", [both, sketch.weight(8, 16, 1, 1)])


def turned(sketch, tensor):
    return sketch.add("Transpose", [tensor], perm=[0, 1, 3, 2])


def step(sketch, kind, tensor, first):
    """The output of one step that keeps the shape."""
    plain = {"relu": "Relu", "leaky": "LeakyRelu", "sigmoid": "Sigmoid", "pass": "Identity"}
    made = {
        "conv": lambda: convolution(sketch, tensor),
        "depthwise": lambda: convolution(sketch, tensor, 8),
        "shared": lambda: shared(sketch, tensor),
        "norm": lambda: norm(sketch, tensor),
        "clip": lambda: clip(sketch, tensor),
        "pool": lambda: sketch.add("MaxPool", [tensor], kernel_shape=[3, 3], pads=[1] * 4),
        "add": lambda: sketch.add("Add", [tensor, first]),
        "double": lambda: double(sketch, tensor),
        "scale": lambda: sketch.add("Mul", [tensor, sketch.weight(8, 1, 1)]),
        "turn": lambda: turned(sketch, tensor),
    }
    return made[kind]() if kind in made else sketch.add(plain[kind], [tensor])


def finished(sketch, ending, names, batch):
    """The whole model."""
    weights = [numpy_helper.from_array(values, name) for name, values in sketch.weights.items()]
    nodes = list(sketch.nodes)
    if sketch.held == "constant":
        nodes = [helper.make_node("Constant", [], [w.name], value=w) for w in weights] + nodes
    for number, node in enumerate(nodes):
        node.name = {"own": f"n{number}", "none": "", "same": "n"}[names]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 1, 8, 8])]
    if sketch.held == "listed":
        inputs += [helper.make_tensor_value_info(w.name, w.data_type, w.dims) for w in weights]
    outputs = [helper.make_tensor_value_info(ending, TensorProto.FLOAT, [batch, 10])]
    held = [] if sketch.held == "constant" else weights
    graph = helper.make_graph(nodes, "random", inputs, outputs, held)
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", sketch.opset)], ir_version=7
    )


@st.composite
def models(draw):
    held = draw(st.sampled_from(["initialiser", "constant", "identity", "listed"]))
    spread = draw(st.sampled_from([1.0, 1.0, 30.0, 1e4]))
    sketch = Sketch(held, spread, draw(st.sampled_from([11, 12, 13, 15, 17])))
    tensor = first = sketch.add("Conv", ["x", sketch.weight(8, 1, 3, 3)], pads=[1] * 4)
    for kind in draw(st.lists(st.sampled_from(STEPS), max_size=6)):
        tensor = step(sketch, kind, tensor, first)
    if draw(st.booleans()):
        tensor = sketch.add("GlobalAveragePool", [tensor])
    flat = sketch.add("Flatten", [tensor])
    width = 8 if sketch.nodes[-2].op_type == "GlobalAveragePool" else 512
    if draw(st.booleans()):
        end = sketch.add("MatMul", [flat, sketch.weight(width, 10)])
    else:
        end = sketch.add("Gemm", [flat, sketch.weight(10, width), sketch.weight(10)], transB=1)
    if draw(st.booleans()):
        end = sketch.add("Softmax", [end])
    names = draw(st.sampled_from(["own", "none", "same"]))
    return finished(sketch, end, names, draw(st.sampled_from([1, "batch"])))


@pytest.mark.slow
@given(models(), st.sampled_from(["onnxruntime", "tensorrt"]))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_int8_is_near_float_or_refused(model, form):
    onnx.checker.check_model(model)
    with TemporaryDirectory() as folder:
        source, path = Path(folder) / "model.onnx", Path(folder) / "q.onnx"
        onnx.save(model, source)
        made = prepare(source, DIGITS, RECIPE, form=form, known_data=True, task=CLASSIFICATION)
        samples = validation_samples(DIGITS, 8)
        record = written(made, path, samples)
        if record is None:
            assert {file.name for file in Path(folder).iterdir()} == {"model.onnx"}
            made.write(path)
        is_near = Reference(source, samples, task=CLASSIFICATION).is_near(path, LIMITS["int8"])
        assert is_near == (record is not None)
        layers = weighted_layers(source, {"": (1, 1, 8, 8)})
        assert record is None or len(record.layers) == len(layers)


def written(made, path, samples):
    """The record of the int8 file; None where that is too far from float."""
    try:
        return write_like_float(made, path, samples)
    except ExportError as error:
        if "are needed" not in error.what:
            raise
        return None
