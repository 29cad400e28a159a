"""Layers of what a compiled model says; test_openvino_agent.py has it from real ones."""

from typing import Any

import pytest

from edgespiral.measure.runtimes.openvino.layers import layer_times


def node(kind: str, inputs: list[list[int]], output: list[int], **told: Any) -> dict[str, Any]:
    return {
        "kind": kind,
        "inputs": inputs,
        "outputs": [output],
        "mean_us": "4",
        "reads": ["x"],
    } | told


def test_a_grouped_convolution_has_all_its_outputs_in_one() -> None:
    [layer] = layer_times([node("Convolution", [[1, 6, 7], [3, 4, 2, 3]], [1, 12, 5])])
    assert (layer["operator"], layer["weight_shape"]) == ("conv", [12, 2, 3])
    assert layer["latency_ms"] == pytest.approx(0.0045)


def test_a_product_has_all_rows_in_one() -> None:
    [layer] = layer_times([node("FullyConnected", [[1, 9, 16], [5, 16]], [1, 9, 5])])
    assert [layer[f"{name}_shape"] for name in ("input", "weight", "output")] == [
        [9, 16],
        [5, 16],
        [9, 5],
    ]


def test_the_directions_of_a_recurrent_layer_are_one_layer() -> None:
    inputs = [[1, 9, 24], [1, 1, 8], [1, 1, 8], [1], [1, 32, 24], [1, 32, 8], [1, 32]]
    one = node("RNNSeq", inputs, [1, 9, 8])
    assert [layer["output_shape"] for layer in layer_times([one, one])] == [[9, 2, 1, 8]]
    other = one | {"reads": ["y"]}
    assert [layer["output_shape"] for layer in layer_times([one, other])] == [[9, 1, 1, 8]] * 2


@pytest.mark.parametrize(
    "unclear",
    [
        node("Convolution", [[1, 3, 8, 8]], [1, 4, 8, 8]),
        node("FullyConnected", [[1, 0, 16], [5, 16]], [1, 0, 5]),
        node("RNNSeq", [[1, 9, 24], [1, 1, 8], [1, 16, 24], [1, 16, 8]], [1, 9, 8]),
    ],
)
def test_a_layer_whose_shapes_do_not_tell_which_is_left_out(unclear: dict[str, Any]) -> None:
    assert layer_times([unclear]) == []
