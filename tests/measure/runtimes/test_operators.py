"""Which layers are of an operator that a runtime lacks: of files, in the runtimes' own words."""

from pathlib import Path

import pytest
from onnx import TensorProto, helper

from edgespiral.core.errors import ModelError
from edgespiral.measure.profile import TargetProfile
from edgespiral.measure.racing.entrants import with_runtime
from edgespiral.measure.runtimes.operators import with_layers
from edgespiral.measure.session import Session

INFO = helper.make_tensor_value_info


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with two nodes of one odd operator, one of them inside of another, and a third."""
    inner = helper.make_graph(
        [helper.make_node("Whirl", ["x"], ["z"], name="/inside/stir", domain="example.org")],
        "then",
        [],
        [INFO("z", TensorProto.FLOAT, [1, 3])],
    )
    nodes = [
        helper.make_node("Whirl", ["x"], ["w"], name="/stir", domain="example.org"),
        helper.make_node(
            "If", ["choice"], ["v"], name="/maybe", then_branch=inner, else_branch=inner
        ),
        helper.make_node("GridSample", ["v", "w"], ["y"]),
    ]
    inputs = [INFO("x", TensorProto.FLOAT, [1, 3]), INFO("choice", TensorProto.BOOL, [])]
    graph = helper.make_graph(nodes, "odd", inputs, [INFO("y", TensorProto.FLOAT, [1, 3])])
    path = tmp_path_factory.mktemp("odd") / "odd.onnx"
    path.write_bytes(helper.make_model(graph, ir_version=9).SerializeToString())
    return path


@pytest.mark.parametrize(
    "said",
    [
        "Model wasn't fully converted. Summary: -- No conversion rule found for operations: "
        "example.org.Whirl",
        "Summary: -- Conversion is failed for: Whirl-1 Message: and so on",
        "failed:Fatal error: example.org:Whirl(-1) is not a registered function/op",
        "In node 0 (parseGraph): UNSUPPORTED_NODE: No importer registered for op: Whirl",
        "cannot be loaded: ncnn has no layer for Whirl",
    ],
)
def test_a_runtimes_word_on_an_operator_gets_the_layers(model: Path, said: str) -> None:
    assert with_layers(said, model) == f"{said}: /stir, /inside/stir"


def test_several_operators_and_names_of_others_are_found(model: Path) -> None:
    said = "No conversion rule found for operations: GridSample-16, example.org.Whirl, Det-17"
    assert with_layers(said, model).endswith(": /stir, /inside/stir, node_of_y")
    said = "cannot be loaded: ncnn has no layer for F.grid_sample"
    assert with_layers(said, model) == f"{said}: node_of_y"


@pytest.mark.parametrize(
    "said",
    [
        "out of memory in Whirl",
        "No conversion rule found for operations: Det-17",
        "node 0 with name: /stir and /inside/stir: No importer registered for op: Whirl",
    ],
)
def test_what_names_no_operator_or_its_layers_stays_as_it_is(model: Path, said: str) -> None:
    assert with_layers(said, model) == said


def test_an_engine_is_not_read(tmp_path: Path) -> None:
    said = "No importer registered for op: Whirl"
    assert with_layers(said, tmp_path / "model.engine") == said


@pytest.mark.parametrize("runtime", ["onnxruntime", "onnxruntime-mobile", "openvino", "ncnn"])
def test_each_runtime_names_the_layer_of_an_operator_that_it_lacks(
    profile: TargetProfile, tmp_path: Path, runtime: str
) -> None:
    for package in {"openvino": ("openvino",), "ncnn": ("pnnx", "ncnn")}.get(runtime, ()):
        pytest.importorskip(package, reason=f"the {runtime} extra is not installed")
    nodes = [
        helper.make_node("Relu", ["x"], ["r"], name="/first"),
        helper.make_node("Whirl", ["r"], ["y"], name="/body/stir", domain="example.org"),
    ]
    ends = [INFO(name, TensorProto.FLOAT, [1, 3]) for name in "xy"]
    graph = helper.make_graph(nodes, "odd", ends[:1], ends[1:])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("example.org", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    path = tmp_path / "odd.onnx"
    path.write_bytes(model.SerializeToString())
    with (
        Session(with_runtime(profile, runtime)) as session,
        pytest.raises(ModelError, match=r"Whirl.*: /body/stir$") as told,
    ):
        session.measure([path])
    assert "\n" not in str(told.value)
