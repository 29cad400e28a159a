from __future__ import annotations

import pytest
import torch
from torch import nn

from edgespiral.core.records.measurement import LayerLatency
from edgespiral.core.records.widths import Widths
from edgespiral.prune.groups import find_groups
from edgespiral.spiral.planning.latencies import Device, Latencies
from edgespiral.spiral.planning.latency_model import layer_shapes

BASE = Widths({"0": 64})
FIRST = Device("first", teacher_ms=1.0, budget_ms=0.5, multiple=16, start_ms=1.0)
SECOND = Device("second", teacher_ms=30.0, budget_ms=20.0, multiple=8, start_ms=30.0)


@pytest.fixture(scope="module")
def layers():
    net = nn.Sequential(nn.Conv2d(16, 64, 3, padding=1), nn.Conv2d(64, 16, 3, padding=1))
    model, example = torch.fx.symbolic_trace(net), torch.randn(1, 16, 8, 8)
    return layer_shapes(model, find_groups(model, example), example)


def row(cin, cout, latency_ms):
    return LayerLatency(
        operator="conv",
        input_shape=(1, cin, 8, 8),
        weight_shape=(cout, cin, 3, 3),
        output_shape=(1, cout, 8, 8),
        latency_ms=latency_ms,
    )


def test_one_device_is_in_its_own_time(layers):
    latencies = Latencies([FIRST], layers, BASE)
    latencies.add(Widths({"0": 32}), [1.6])
    assert latencies.measured == {BASE: 1.0, Widths({"0": 32}): 1.0 / 1.6}
    assert latencies.step == 16


def test_several_are_as_slow_as_the_one_furthest_from_its_budget(layers):
    latencies = Latencies([FIRST, SECOND], layers, BASE)
    assert latencies.measured[BASE] == 1.0
    latencies.add(Widths({"0": 32}), [2.5, 1.2])
    assert latencies.measured[Widths({"0": 32})] == pytest.approx(30.0 / 1.2 / 20.0 * 0.5)
    assert latencies.own_target_ms(1, 0.5) == pytest.approx(20.0)
    assert latencies.step == 16


def test_predictions_are_of_the_worst_device_too(layers):
    """The first device is fast where the second is not: only the second decides."""
    latencies = Latencies([FIRST, SECOND], layers, BASE)
    for width in (16, 32, 48):
        latencies.add(Widths({"0": width}), [64 / width, 1 + 0.2 * (1 - width / 64)])
    latencies.fit()
    narrow = Widths({"0": 16})
    first_ms, second_ms = latencies.predictions_ms(narrow)
    assert first_ms == pytest.approx(0.25, rel=0.1)
    assert latencies.predict_ms(narrow) == pytest.approx(second_ms / 40, rel=1e-6)
    near = latencies.near(latencies.measured[narrow])
    assert near.predict_ms(narrow) == pytest.approx(latencies.measured[narrow], rel=0.05)
    expected_ms = latencies.expected_ms(Widths({"0": 32}), Widths({"0": 48}))
    assert expected_ms == pytest.approx(latencies.measured[Widths({"0": 32})], rel=0.05)


def test_known_layers_must_cover_what_a_survey_would_show(layers):
    latencies = Latencies([FIRST], layers, BASE)
    cuts = [BASE, {"0": 16}, {"0": 32}]
    known = [row(16, 64, 0.4), row(64, 16, 0.4), row(32, 16, 0.2)]
    assert latencies.covered([known], cuts)
    assert not latencies.covered([known[:2]], cuts)
    assert not latencies.covered([[row(16, w, 0.1) for w in (16, 32, 48)]], cuts)
    other = row(16, 64, 0.4).model_copy(update={"input_shape": (1, 16, 4, 4)})
    assert not latencies.covered([[other] * 3], cuts)
    assert latencies.add_layers([[*known, other]]) == 3
