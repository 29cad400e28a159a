"""Fixtures are this project's own, in the formats that trtexec's public sources write."""

import json
from typing import Any

import pytest

from edgespiral.core.errors import MeasurementError
from edgespiral.measure.runtimes.tensorrt.output import layer_times, sample_times
from edgespiral.measure.runtimes.weighted_layers import WeightedLayer

TIMES = """[
  { "startEnqMs" : 201.1, "endEnqMs" : 201.2, "startH2dMs" : 201.2, "endH2dMs" : 201.3
, "startComputeMs" : 201.3, "endComputeMs" : 202.3, "startD2hMs" : 202.3, "endD2hMs" : 202.35
, "h2dMs" : 0.1, "computeMs" : 1, "d2hMs" : 0.05, "latencyMs" : 1.15 }
, { "startEnqMs" : 202.2, "endEnqMs" : 202.25, "startH2dMs" : 202.3, "endH2dMs" : 202.4
, "startComputeMs" : 202.4, "endComputeMs" : 203.65, "startD2hMs" : 203.65, "endD2hMs" : 203.7
, "h2dMs" : 0.1, "computeMs" : 1.25, "d2hMs" : 0.05, "latencyMs" : 1.4 }
]"""
NODES = [
    WeightedLayer("/stem/Conv", "conv", (1, 3, 8, 8), (16, 3, 3, 3), (1, 16, 8, 8)),
    WeightedLayer("/block/Conv", "conv", (1, 16, 8, 8), (16, 16, 3, 3), (1, 16, 8, 8)),
    WeightedLayer("/head/Gemm", "gemm", (1, 16), (10, 16), (1, 10)),
]


def profile(*rows: tuple[str, float]) -> Any:
    named = [{"name": name, "timeMs": 100 * ms, "averageMs": ms} for name, ms in rows]
    return [{"count": 100}, *named]


def test_samples_are_the_gpus_time_or_with_the_transfers() -> None:
    assert sample_times(json.loads(TIMES), transfers=False) == [1.0, 1.25]
    assert sample_times(json.loads(TIMES), transfers=True) == [1.15, 1.4]


@pytest.mark.parametrize("records", [[], [{"latency": 1}], {"computeMs": 1}, None, [None], 3])
def test_times_that_are_not_there_are_an_error(records: object) -> None:
    with pytest.raises(MeasurementError, match="trtexec exported"):
        sample_times(records, transfers=False)


def test_fused_layers_are_found_by_their_parts() -> None:
    rows = profile(
        ("Reformatting CopyNode for Input Tensor 0 to /stem/Conv", 9.0),
        ("/stem/Conv + /stem/Relu", 1.0),
        ("PWN(/sigmoid)", 5.0),
        ("/block/Conv + /add + /relu", 2.0),
        ("/head/Gemm", 0.5),
    )
    found = layer_times(rows, {}, NODES)
    assert [row.latency_ms for row in found] == [1.0, 2.0, 0.5]
    assert [row.weight_shape for row in found] == [node.weight_shape for node in NODES]


def test_renamed_layers_are_found_by_their_origin() -> None:
    info = {
        "Layers": [
            {"Name": "__myl_a", "Metadata": "[ONNX Layer: /stem/Conv]\x1e[ONNX Layer: /stem/Relu]"},
            {"Name": "__myl_b", "Metadata": "[ONNX Layer: /block/Conv]"},
            {"Name": "__myl_c", "Metadata": "[ONNX Layer: /head/Gemm]"},
        ]
    }
    rows = profile(("__myl_a", 1.0), ("__myl_b", 2.0), ("__myl_c", 3.0), ("__myl_b", 0.5))
    assert [row.latency_ms for row in layer_times(rows, info, NODES)] == [1.0, 2.5, 3.0]


def test_what_was_fused_shares_the_time_by_its_multiplications() -> None:
    rows = profile(("{ForeignNode[/stem/Conv.../block/Conv]}", 1.9), ("/head/Gemm", 0.1))
    found = layer_times(rows, {"Layers": ["unnamed"]}, NODES)
    assert [row.latency_ms for row in found] == pytest.approx([0.3, 1.6, 0.1])


def layer(name: str, outputs: int) -> WeightedLayer:
    return WeightedLayer(name, "gemm", (1, 8), (outputs, 8), (1, outputs))


FOUR = [layer(name, outputs) for name, outputs in (("a", 8), ("b", 16), ("c", 8), ("d", 4))]


def times(*rows: tuple[str, float], nodes: list[WeightedLayer] | None = None) -> dict[int, float]:
    """Milliseconds by the layer's outputs."""
    found = layer_times(profile(*rows), {"Layers": []}, FOUR if nodes is None else nodes)
    return {one.output_shape[1]: one.latency_ms for one in found}


@pytest.mark.parametrize("written", ["a + b", "a || b", "a, b", "a,b", "PWN(a, b)", "x + (a || b)"])
def test_all_parts_of_a_fused_layer_are_found(written: str) -> None:
    nodes = [layer("a", 8), layer("b", 16), layer("c", 4)]
    assert times((written, 3.0), ("c", 1.0), nodes=nodes) == {8: 1.0, 16: 2.0, 4: 1.0}


def test_a_name_with_a_separator_in_it_is_one_name() -> None:
    nodes = [layer("a + b", 8), layer("b", 16), layer("b, c", 4)]
    rows = (("a + b", 1.0), ("b", 2.0), ("b, c || b", 5.0))
    assert times(*rows, nodes=nodes) == {8: 1.0, 16: 6.0, 4: 1.0}


def test_what_runs_by_itself_is_in_no_region() -> None:
    rows = (("a", 1.0), ("{ForeignNode[weight.../out]}", 2.4), ("d", 0.5))
    assert times(*rows, nodes=[layer("a", 8), layer("b", 16), layer("c", 32), FOUR[3]]) == {
        8: 1.0,
        16: pytest.approx(0.8),
        32: pytest.approx(1.6),
        4: 0.5,
    }


def test_an_end_that_runs_by_itself_is_in_no_region() -> None:
    nodes = [layer("a", 8), layer("b", 16), layer("c", 32)]
    rows = (("a", 1.0), ("{ForeignNode[a...c]}", 4.8))
    assert times(*rows, nodes=nodes) == {8: 1.0, 16: pytest.approx(1.6), 32: pytest.approx(3.2)}


def test_an_end_that_is_known_bounds_a_region() -> None:
    nodes = [layer("a", 8), layer("b", 16), layer("c", 32), layer("d", 4)]
    rows = (("{ForeignNode[norm...b]}", 3.0), ("{ForeignNode[c...out]}", 3.6))
    found = times(*rows, nodes=nodes)
    assert found == {8: 1.0, 16: 2.0, 32: pytest.approx(3.2), 4: pytest.approx(0.4)}


def test_regions_that_may_hold_the_same_layer_are_left_out() -> None:
    nodes = [layer("a", 8), layer("b", 16), layer("c", 32)]
    rows = (("{ForeignNode[p...q]}", 3.0), ("{ForeignNode[r...s]}", 3.6), ("c", 1.0))
    assert times(*rows, nodes=nodes) == {32: 1.0}


def test_what_nothing_names_is_left_out() -> None:
    nodes = [layer("a", 8), layer("b", 16)]
    assert times(("a", 1.0), ("__myl_FcAdd_0", 2.0), nodes=nodes) == {8: 1.0}


def test_layers_of_one_name_are_not_told_apart() -> None:
    nodes = [layer("fc", 8), layer("fc", 16), layer("a", 4)]
    assert times(("fc", 1.0), ("fc", 2.0), ("a", 0.5), nodes=nodes) == {4: 0.5}


def test_copies_are_no_layers() -> None:
    nodes = [layer("a", 8), layer("b", 16)]
    rows = (("Reformatting CopyNode for Input Tensor 0 to x + b", 9.0), ("a", 1.0), ("b", 2.0))
    assert times(*rows, nodes=nodes) == {8: 1.0, 16: 2.0}


def test_a_layer_that_did_not_run_is_an_error() -> None:
    with pytest.raises(MeasurementError, match="no layer for /block/Conv, /head/Gemm"):
        layer_times(profile(("/stem/Conv", 1.0)), {}, NODES)
    with pytest.raises(MeasurementError, match="cannot be read"):
        layer_times([{"count": 1}, {"name": "/stem/Conv"}], {}, NODES)
