from __future__ import annotations

import pytest
import torch
from torch import nn

from edgespiral.core.records.measurement import LayerLatency
from edgespiral.models.saved import trace
from edgespiral.prune.engines.flow.finder import groups_by_flow
from edgespiral.prune.groups import find_groups
from edgespiral.spiral.planning.latency_model import LatencyModel, WidthTotal, layer_shapes


class Chain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 32, 3, padding=1)
        self.second = nn.Conv2d(32, 64, 3, padding=1, stride=2)
        self.depthwise = nn.Conv2d(64, 64, 3, padding=1, groups=64)
        self.head = nn.Linear(64 * 16, 10)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        hidden = self.depthwise(self.second(self.first(inputs)))
        return self.head(torch.flatten(hidden, 1))


@pytest.fixture
def layers():
    model, example = torch.fx.symbolic_trace(Chain()), torch.randn(1, 3, 8, 8)
    return layer_shapes(model, find_groups(model, example), example)


BASE = {"first": 32, "second": 64}


def rounded(channels):
    return 16 * -(-channels // 16)


def true_ms(widths):
    """A device that works in blocks of 16 channels."""
    first, second = rounded(widths["first"]), rounded(widths["second"])
    conv = 1e-3 * 16 * first + 2e-4 * first * second + 1e-3 * second
    return 0.05 + conv + 5e-5 * second * 16


def test_layers_know_their_groups_and_sizes(layers):
    by_name = {layer.name: layer for layer in layers}
    assert list(by_name) == ["first", "second", "depthwise", "head"]
    assert by_name["second"].cin_per_channel == {"first": 1.0}
    assert by_name["second"].cout_per_channel == {"second": 1.0}
    assert by_name["head"].cin_per_channel == {"second": 16.0}
    assert by_name["second"].shape_class == ("conv", False, (3, 3), (8, 8), (4, 4))


def test_it_learns_the_staircase_from_whole_models(layers):
    model = LatencyModel(layers, BASE, 16)
    grid = [{"first": a, "second": b} for a in (16, 32) for b in (16, 32, 48, 64)]
    model.fit([], [WidthTotal(widths, true_ms(widths)) for widths in grid])
    for widths in ({"first": 12, "second": 40}, {"first": 32, "second": 50}):
        assert model.predict_ms(widths) == pytest.approx(true_ms(widths), rel=0.02)


def test_profiled_layers_of_the_same_shape_class_inform_it(layers):
    model = LatencyModel(layers, BASE, 16)
    rows = [
        LayerLatency(
            operator="conv",
            input_shape=(1, cin, 8, 8),
            weight_shape=(cout, cin, 3, 3),
            output_shape=(1, cout, 4, 4),
            latency_ms=2e-4 * cin * cout,
        )
        for cin in (16, 32)
        for cout in (16, 32, 64)
    ]
    ends = [BASE, {"first": 16, "second": 16}]
    model.fit(rows, [WidthTotal(w, 0.5 + 2e-4 * w["first"] * w["second"]) for w in ends])
    saved = model.predict_ms(BASE) - model.predict_ms({"first": 16, "second": 64})
    assert saved == pytest.approx(2e-4 * 16 * 64, rel=0.15)


def test_whole_models_are_believed_over_the_profiler(layers):
    model = LatencyModel(layers, BASE, 16)
    shapes = {"input_shape": (1, 32, 8, 8), "weight_shape": (64, 32, 3, 3)}
    row = LayerLatency(operator="conv", **shapes, output_shape=(1, 64, 4, 4), latency_ms=9.0)
    model.fit([row], [WidthTotal(BASE, 1.0)])
    assert model.predict_ms(BASE) == pytest.approx(1.0, rel=0.05)


def test_a_layer_without_channels_costs_nothing(layers):
    model = LatencyModel(layers, BASE, 16)
    model.fit([], [WidthTotal({"first": 32, "second": w}, true_ms({"first": 32, "second": w}))
                   for w in (16, 32, 64)])  # fmt: skip
    gone = model.predict_ms({"first": 32, "second": 0})
    assert gone < model.predict_ms({"first": 32, "second": 16})


def test_it_must_be_fitted_first(layers):
    with pytest.raises(RuntimeError, match="fit the latency model"):
        LatencyModel(layers, BASE, 16).predict_ms(BASE)


def test_an_image_counts_as_it_is_and_not_as_a_block_of_channels():
    """The layer that sees the image is quick: it must not make its neighbours look so."""
    model = torch.fx.symbolic_trace(
        nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 32, 3, padding=1))
    )
    layers = layer_shapes(model, [], torch.randn(1, 1, 8, 8))
    rows = [
        LayerLatency(
            operator="conv",
            input_shape=(1, cin, 8, 8),
            weight_shape=(cout, cin, 3, 3),
            output_shape=(1, cout, 8, 8),
            latency_ms=latency_ms,
        )
        for cin, cout, latency_ms in ((1, 16, 0.1), (16, 32, 1.0))
    ]
    latency = LatencyModel(layers, {}, 16)
    latency.fit(rows, [WidthTotal({}, 1.1)])
    assert latency.predict_ms({}) == pytest.approx(1.1, rel=1e-3)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inlet = nn.Linear(8, 32)
        self.rnn = nn.GRU(32, 48, batch_first=True, bidirectional=True)
        self.head = nn.Linear(96, 3)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.head(self.rnn(self.inlet(inputs))[0].mean(1))


@pytest.fixture
def recurrent_layers():
    model, example = trace(Recurrent()), torch.randn(1, 20, 8)
    return layer_shapes(model, groups_by_flow(model, example), example)


def test_a_recurrent_layer_is_a_product_of_its_inputs_and_one_of_its_state(recurrent_layers):
    _, inputs, state, _ = recurrent_layers
    assert (inputs.cin, inputs.cout, state.cin, state.cout) == (32, 96, 48, 96)
    assert inputs.cin_per_channel == {"inlet": 1.0}
    assert state.cin_per_channel == {"rnn": 0.5}
    assert inputs.cout_per_channel == state.cout_per_channel == {"rnn": 1.0}
    assert inputs.shape_class != state.shape_class


def test_times_of_recurrent_layers_are_learned_from_profiles(recurrent_layers):
    model = LatencyModel(recurrent_layers, {"inlet": 32, "rnn": 96}, 16)

    def gru_ms(inlet, hidden):
        return 1e-5 * inlet * 2 * hidden + 3e-5 * hidden * 2 * hidden + 0.01

    def row(inlet, hidden):
        shapes = {"input_shape": (20, 1, inlet), "weight_shape": (2, 3 * hidden, inlet)}
        output = (20, 2, 1, hidden)
        latency_ms = gru_ms(inlet, hidden)
        return LayerLatency(operator="gru", **shapes, output_shape=output, latency_ms=latency_ms)

    rows = [row(inlet, hidden) for inlet in (16, 32) for hidden in (16, 32, 48)]
    model.fit(rows, [WidthTotal({"inlet": 32, "rnn": 96}, gru_ms(32, 48) + 0.05)])
    saved_ms = model.predict_ms({"inlet": 32, "rnn": 96}) - model.predict_ms(
        {"inlet": 32, "rnn": 32}
    )
    assert saved_ms == pytest.approx(gru_ms(32, 48) - gru_ms(32, 16), rel=0.05)


def test_a_prediction_is_the_sum_of_its_features_whatever_was_asked_before(layers):
    """Layers' times are kept by their widths, and made anew when the model is fitted again."""
    grid = [{"first": a, "second": b} for a in (16, 32) for b in (0, 16, 32, 48, 64)]
    kept = LatencyModel(layers, BASE, 16)
    for scale in (1.0, 3.0):
        totals = [WidthTotal(widths, scale * true_ms(widths)) for widths in grid]
        kept.fit([], totals)
        for widths in (*grid, *reversed(grid)):
            fresh = LatencyModel(layers, BASE, 16)
            fresh.fit([], totals)
            assert kept.predict_ms(widths) == fresh.predict_ms(widths)
            assert kept.predict_ms(widths) == pytest.approx(scale * true_ms(widths), rel=0.3)
