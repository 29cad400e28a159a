"""Reading the profiler's word; tests/measure/test_session.py has it from real runs."""

from pathlib import Path
from typing import Any

import pytest

from edgespiral.core.errors import TargetError
from edgespiral.measure.runtimes.onnxruntime.profile import check_placement, layer_times

CPU, GPU = "CPUExecutionProvider", "CUDAExecutionProvider"
MODELS = [Path("a.onnx"), Path("b.onnx")]


def node(*times_us: int, name: str = "fc", operator: str = "Gemm", **told: Any) -> dict[str, Any]:
    return {
        "name": f"{name}_kernel_time",
        "op_name": operator,
        "provider": told.get("provider", CPU),
        "input_type_shape": [{"float": shape} for shape in told.get("inputs", [[1, 8], [4]])],
        "output_type_shape": [{"float": shape} for shape in told.get("outputs", [[1, 4]])],
        "durations_us": list(times_us),
    }


def test_a_layer_takes_the_middle_mean_of_its_times() -> None:
    [layer] = layer_times([node(3, 4, 4, 5, 4, 5, 4, 80)])
    assert layer["latency_ms"] == pytest.approx(0.00425)
    assert layer["weight_shape"] == [4, 8]


def test_products_of_two_activations_are_no_layers() -> None:
    attention = node(9, operator="MatMul", inputs=[[1, 8, 5, 4], [1, 8, 4, 5]], outputs=[[5, 5]])
    projection = node(9, operator="MatMul", inputs=[[1, 5, 8]], outputs=[[1, 5, 4]])
    [layer] = layer_times([attention, projection])
    assert (layer["input_shape"], layer["output_shape"]) == ([5, 8], [5, 4])


def test_a_layer_whose_shapes_are_not_told_is_left_out() -> None:
    untold = node(9, operator="Conv", inputs=[[1, 3, 8, 8]], outputs=[[1, 4, 8, 8]])
    silent = node(9, inputs=[], outputs=[])
    assert layer_times([untold, silent, node(9)]) == layer_times([node(9)])


def test_other_nodes_are_no_layers() -> None:
    assert layer_times([node(5, operator="MaxPool")]) == []


def test_where_only_the_cpu_could_run_it_did() -> None:
    assert check_placement([], CPU, MODELS) == CPU


def test_small_nodes_may_run_elsewhere_and_are_said_to() -> None:
    conv = node(1, operator="Conv", provider=GPU)
    # What a compiling provider calls the part of the model that it took.
    compiled = node(1, operator="TRTKernel_graph_7", provider=GPU)
    placed = [[conv, node(1, operator="Reshape")], [compiled]]
    assert check_placement(placed, GPU, MODELS) == f"{GPU} + {CPU}"
    assert check_placement([[conv], [compiled]], GPU, MODELS) == GPU


@pytest.mark.parametrize(
    ("nodes", "what"),
    [
        ([("conv", "Conv", GPU), ("fc", "Gemm", CPU)], f"left 1 layers of the model to {CPU}: fc;"),
        (
            [("q", "QLinearConv", CPU), ("r", "Relu", GPU)],
            f"left 1 layers of the model to {CPU}: q;",
        ),
        ([(c, "Relu", CPU) for c in "abcd"], f"left 4 layers of the model to {CPU}: a, b, c, ...;"),
    ],
)
def test_a_provider_that_did_not_run_the_layers_is_an_error(
    nodes: list[tuple[str, str, str]], what: str
) -> None:
    placed = [node(1, name=name, operator=kind, provider=by) for name, kind, by in nodes]
    with pytest.raises(TargetError, match=f"^b.onnx: {GPU} {what}"):
        check_placement([[node(1, provider=GPU)], placed], GPU, MODELS)
