from __future__ import annotations

import random

import pytest
import torch
from torch import nn

from edgespiral.core.records.footprint import Footprint, FootprintBudget
from edgespiral.core.records.widths import Widths
from edgespiral.models import build
from edgespiral.models.saved import trace
from edgespiral.models.work import parameter_count
from edgespiral.prune.prunable import PrunableModel
from edgespiral.spiral.planning.allocate import every_choice
from edgespiral.spiral.planning.footprints import Footprints, ParameterCounts
from edgespiral.spiral.planning.latencies import LANDING_HIGH, Device, Latencies


class Encoded(nn.Module):
    """Embeds nothing but has what images do not: an LSTM and a norm."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(12, 32, batch_first=True, bidirectional=True)
        self.norm, self.middle, self.head = nn.LayerNorm(64), nn.Linear(64, 48), nn.Linear(48, 3)

    def forward(self, inputs):
        return self.head(torch.relu(self.middle(self.norm(self.lstm(inputs)[0])[:, -1])))


def prunable(name):
    torch.manual_seed(0)
    if name == "lstm":
        return PrunableModel.of(trace(Encoded().eval(), torch.randn(2, 9, 12)), (9, 12))
    return PrunableModel.of(trace(build(name, classes=10, input_shape=(1, 16, 16))), (1, 16, 16))


@pytest.mark.parametrize("name", ["resnet8", "mobilenetv2-small", "lstm"])
def test_parameters_are_known_without_building_the_cut(name):
    """But for norms and biases behind a branch that is gone."""
    source = prunable(name)
    counts = ParameterCounts(source.model, source.groups)
    assert counts.at({g.name: g.channels for g in source.groups}) == parameter_count(source.model)
    choice = every_choice(source.groups, source.branches, 4)
    cuts = [choice.at_share(share) for share in (0.75, 0.5, 0.25)]
    mixer = random.Random(0)
    cuts += [{n: mixer.choice(o) for n, o in choice.options.items()} for _ in range(3)]
    for widths in cuts:
        built = parameter_count(source.candidate(widths))
        assert counts.at(widths) == pytest.approx(built, abs=0.5)
    gone = choice.narrowest()
    assert counts.at(gone) == pytest.approx(parameter_count(source.candidate(gone)), rel=0.25)


@pytest.fixture(scope="module")
def source():
    return prunable("resnet8")


@pytest.fixture
def footprints(source):
    teacher = Footprint(size_bytes=400_000, parameter_count=parameter_count(source.model))
    half = FootprintBudget(kind="parameters", limit=0.5 * teacher.parameter_count)
    size = FootprintBudget(kind="size", limit=300_000)
    counts = ParameterCounts(source.model, source.groups)
    return source, Footprints((size, half), counts, teacher, "fp32")


def test_what_was_built_is_exact_and_corrects_what_was_not(footprints):
    source, sizes = footprints
    choice = every_choice(source.groups, source.branches, 4)
    cut, other = choice.at_share(0.5), choice.at_share(0.25)
    predicted = sizes.of(other)
    assert sizes.of(cut).size_bytes < 400_000
    built = Footprint(size_bytes=round(1.1 * sizes.of(cut).size_bytes), parameter_count=99)
    sizes.add(cut, built)
    assert sizes.of(cut) == built
    assert sizes.of(other).size_bytes == pytest.approx(1.1 * predicted.size_bytes, rel=0.01)
    budget, value = sizes.furthest(cut)
    assert (budget.kind, value) == ("size", built.size_bytes)


def test_the_uncut_model_is_known_and_no_cut_corrects_it(footprints):
    """What targets are reckoned from is the same before a run's first cuts and once it goes on."""
    source, sizes = footprints
    base = {group.name: group.channels for group in source.groups}
    cut = every_choice(source.groups, source.branches, 4).at_share(0.5)
    sizes.add(cut, Footprint(size_bytes=50_000, parameter_count=99))
    assert sizes.of(base) == sizes.base
    sizes.add(base, Footprint(size_bytes=400_123, parameter_count=sizes.base.parameter_count))
    assert sizes.of(base) == sizes.base


def test_a_size_is_held_against_its_budget_as_a_latency_is(footprints):
    source, sizes = footprints
    base = Widths({group.name: group.channels for group in source.groups})
    device = Device("host", teacher_ms=2.0, budget_ms=1.0, multiple=4, start_ms=2.0)
    sized = Latencies([device], [], base, sizes)
    # Twice as slow as allowed, and with twice the parameters that are.
    assert sized.measured[base] == pytest.approx(2.0)
    fast = Footprint(size_bytes=300_000, parameter_count=1)
    cut = every_choice(source.groups, source.branches, 4).at_share(0.75)
    sized.add(cut, [100.0], fast)
    assert sized.measured[cut] == pytest.approx(LANDING_HIGH), "as large as it may be"
    sized.add(cut, [100.0], Footprint(size_bytes=300_001, parameter_count=1))
    assert sized.measured[cut] > 1.0, "a byte too large"
    unbudgeted = Device("host", 2.0, 1.0, 4, 2.0, is_budgeted=False)
    alone = Latencies([unbudgeted], [], base, sizes)
    assert alone.worst_ms(cut, [50.0]) < 1.01, "no latency is asked for"


def test_sizes_are_told_as_sums_over_tensors(footprints):
    source, sizes = footprints
    base = Widths({group.name: group.channels for group in source.groups})
    sized = Latencies([Device("host", 2.0, 1.0, 4, 2.0, is_budgeted=False)], [], base, sizes)
    choice = every_choice(source.groups, source.branches, 4)
    assert len(sized.terms([1.0])) == len(sizes.budgets) == 2

    def check(widths):
        told_ms = []
        for size in sized.terms([1.0]):
            less = size.less(widths)
            layers = sum(size.layer_ms(layer, *layer.sides(less)) for layer in size.layers)
            told_ms.append(float(size.told_ms(size.scale * size.constant_ms + layers)))
        assert max(told_ms) == pytest.approx(sized.worst_ms(widths, [50.0]), rel=1e-3)

    check(base)
    half = choice.at_share(0.5)
    known = sizes.of(half)
    built = Footprint(size_bytes=2 * known.size_bytes, parameter_count=3 * known.parameter_count)
    sizes.add(half, built)
    for widths in (choice.at_share(0.25), choice.at_share(0.75), choice.narrowest()):
        check(widths)
