from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision.models import VisionTransformer

from edgespiral.core.errors import ModelError, NothingToCutError, UsageError
from edgespiral.data import load
from edgespiral.models import build
from edgespiral.models.saved import load_model, save_model, trace
from edgespiral.prune.prunable import PrunableModel, cut_to, engines
from edgespiral.prune.scoring.criteria import CRITERIA
from edgespiral.prune.scoring.criteria.base import Evidence
from edgespiral.spiral.planning.importance import Scorer
from edgespiral.tasks.classification import CLASSIFICATION


@pytest.fixture(scope="module")
def source():
    torch.manual_seed(0)
    model = build("resnet8", classes=10, input_shape=(1, 8, 8))
    return PrunableModel.of(trace(model), (1, 8, 8))


@pytest.fixture
def importance(source):
    generator = torch.Generator().manual_seed(0)
    return {g.name: torch.rand(g.channels, generator=generator) for g in source.groups}


def half(source):
    return {group.name: group.channels // 2 for group in source.groups}


def sizes(model):
    return {name: tuple(value.shape) for name, value in model.state_dict().items()}


@pytest.mark.parametrize("pruner", ["nni", "depgraph", "auto"])
def test_the_cut_has_the_shape_of_its_candidate(source, importance, pruner):
    widths = half(source)
    cut = cut_to(source, widths, importance, pruner)
    assert cut.engine == ("nni" if pruner == "auto" else pruner)
    assert sizes(cut.model) == sizes(source.candidate(widths))
    assert cut.model(torch.randn(2, 1, 8, 8)).shape == (2, 10)


@pytest.mark.parametrize("pruner", ["auto", "nni", "depgraph", "flow"])
def test_layers_that_share_a_weight_share_it_after_the_cut(pruner):
    torch.manual_seed(0)
    tied = [nn.Linear(24, 24), nn.Linear(24, 24)]
    tied[1].weight = tied[0].weight
    model = nn.Sequential(nn.Linear(8, 24), nn.ReLU(), tied[0], nn.ReLU(), tied[1], nn.ReLU(),
                          nn.Linear(24, 16), nn.ReLU(), nn.Linear(16, 10)).eval()  # fmt: skip
    source = PrunableModel.of(trace(model), (8,))
    cut = cut_to(source, {"6": 10}, {"6": torch.rand(16)}, pruner)
    assert cut.model.get_parameter("4.weight") is cut.model.get_parameter("2.weight")
    assert sum(p.numel() for p in cut.model.parameters()) == 1410 - 6 * (25 + 10)


class Affine(nn.Module):
    """A factor and a summand, which a new network does not need."""

    def __init__(self):
        super().__init__()
        self.scale, self.bias = nn.Parameter(torch.ones(1)), nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return self.scale * x + self.bias


def test_a_candidate_keeps_what_a_runtime_would_drop_of_a_new_network():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), Affine(), nn.Conv2d(8, 2, 3)).eval()
    source = PrunableModel.of(trace(model), (3, 8, 8))
    candidate = source.candidate({"0": 4}).state_dict()
    assert candidate["2.scale"] > 1
    assert candidate["2.bias"] > 0
    assert model.state_dict()["2.scale"] == 1
    assert model.state_dict()["2.bias"] == 0


def test_width_zero_removes_the_branch_and_names_stay(source, importance):
    branch = source.branches[1]
    widths = half(source) | dict.fromkeys(branch.groups, 0)
    cut = cut_to(source, widths, importance, "auto")
    assert sizes(cut.model) == sizes(source.candidate(widths))
    assert not [name for name in sizes(cut.model) if name.startswith(f"{branch.name}.conv")]
    again = PrunableModel.of(cut.model, (1, 8, 8), reference=source.groups)
    expected = {name: width for name, width in widths.items() if width}
    assert {group.name: group.channels for group in again.groups} == expected


def test_all_that_can_be_cut_may_go(in_branches):
    source = PrunableModel.of(trace(in_branches), (1, 8, 8))
    gone = {group.name: 0 for group in source.groups}
    assert sorted(g for branch in source.branches for g in branch.groups) == sorted(gone)
    assert source.without(gone).groups == []
    scores = {group.name: torch.rand(group.channels) for group in source.groups}
    cut = cut_to(source, gone, scores, "auto")
    assert sizes(cut.model) == sizes(source.candidate(gone))
    assert PrunableModel.of(cut.model, (1, 8, 8), reference=source.groups).groups == []
    with pytest.raises(NothingToCutError, match="no layer has channels that can be cut"):
        PrunableModel.of(cut.model, (1, 8, 8))


class Gated(nn.Module):
    """One half of a layer's channels, or a softmax of all, gates the other."""

    def __init__(self, how):
        super().__init__()
        self.how = how
        self.stem, self.wide = nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 32, 1)
        self.narrow = nn.Conv2d(16 if how == "halves" else 32, 12, 1)
        self.head = nn.Linear(12, 10)

    def forward(self, inputs):
        found = self.wide(torch.relu(self.stem(inputs)))
        if self.how == "halves":
            values, gates = found.chunk(2, 1)
            found = values * torch.sigmoid(gates)
        else:
            found = found * torch.softmax(found, 1)
        return self.head(torch.relu(self.narrow(found)).mean((2, 3)))


@pytest.mark.parametrize("how", ["halves", "softmax"])
def test_what_torch_pruning_does_not_see_is_cut_by_flow(how):
    torch.manual_seed(0)
    source = PrunableModel.of(trace(Gated(how).eval()), (1, 8, 8))
    assert source.found_by == "flow"
    assert {"stem", "narrow"} <= {group.name for group in source.groups}
    scores = {group.name: torch.rand(group.channels) for group in source.groups}
    widths = {group.name: group.units // 2 * group.sub_groups for group in source.groups}
    cut = cut_to(source, widths, scores, "auto")
    assert cut.engine == "flow"
    assert sizes(cut.model) == sizes(source.candidate(widths))


@pytest.fixture(scope="module")
def transformer():
    torch.manual_seed(0)
    model = VisionTransformer(32, 16, 2, 2, 16, 32, num_classes=5)
    for tensor in model.parameters():
        torch.nn.init.normal_(tensor, std=0.3)
    return PrunableModel.of(trace(model), (3, 32, 32))


def test_a_transformer_is_cut_by_flow_and_its_blocks_can_go(transformer):
    scores = {g.name: torch.rand(g.channels) for g in transformer.groups}
    widths = {g.name: g.sub_groups * (g.units // 2) for g in transformer.groups}
    assert len(transformer.branches) == 4
    attention, *_ = transformer.branches
    widths |= dict.fromkeys(attention.groups, 0)
    cut = cut_to(transformer, widths, scores, "auto")
    assert cut.engine == "flow"
    assert sizes(cut.model) == sizes(transformer.candidate(widths))
    again = PrunableModel.of(cut.model, (3, 32, 32), reference=transformer.groups)
    assert {g.name for g in again.groups} < set(widths)


@pytest.mark.parametrize("pruner", ["nni", "depgraph"])
def test_an_engine_that_cannot_cut_a_transformer_says_so(transformer, pruner):
    scores = {g.name: torch.rand(g.channels) for g in transformer.groups}
    widths = {g.name: g.sub_groups * (g.units // 2) for g in transformer.groups}
    with pytest.raises(ModelError, match=f"{pruner}: ") as caught:
        cut_to(transformer, widths, scores, pruner)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("criterion", ["fisher", "taylor", "l1"])
def test_a_transformers_channels_and_heads_are_scored(transformer, criterion):
    inputs = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    evidence = Evidence([(inputs, torch.arange(4))], losses=CLASSIFICATION.sample_losses)
    scores = CRITERIA.get(criterion).score(transformer.model, transformer.groups, evidence)
    assert {n: len(s) for n, s in scores.items()} == {
        g.name: g.channels for g in transformer.groups
    }
    assert all(bool((s >= 0).all()) and float(s.sum()) > 0 for s in scores.values())


def test_a_model_that_no_engine_can_cut_names_both_reasons(source, importance):
    widths = half(source) | {source.groups[0].name: 0}
    with pytest.raises(ModelError, match=r"nni: .*; depgraph: "):
        cut_to(source, widths, importance, "auto")


@pytest.fixture(scope="module")
def recurrent():
    torch.manual_seed(0)
    model = build("lstm-text", classes=3, input_shape=(9,), token_count=20)
    return PrunableModel.of(trace(model), (9,), token_count=20)


def test_stacked_recurrent_layers_get_widths_of_their_own(recurrent):
    assert [g.name for g in recurrent.groups] == ["embedding", "lstm.l0", "lstm.l1"]
    widths = {"embedding": 64, "lstm.l0": 96, "lstm.l1": 32}
    scores = {g.name: torch.rand(g.channels) for g in recurrent.groups}
    cut = cut_to(recurrent, widths, scores, "auto")
    assert cut.engine == "flow"
    assert sizes(cut.model) == sizes(recurrent.candidate(widths))
    chain = cut.model.lstm
    assert (chain.l0.input_size, chain.l0.hidden_size) == (64, 48)
    assert (chain.l1.input_size, chain.l1.hidden_size) == (96, 16)


def test_a_later_turn_knows_the_groups_by_the_same_names(recurrent, tmp_path):
    smaller = recurrent.candidate({"embedding": 64, "lstm.l0": 96, "lstm.l1": 32})
    save_model(smaller, tmp_path, example=recurrent.example)
    again = PrunableModel.of(
        trace(load_model(tmp_path)), (9,), reference=recurrent.groups, token_count=20
    )
    assert {g.name: g.channels for g in again.groups} == {
        "embedding": 64, "lstm.l0": 96, "lstm.l1": 32,
    }  # fmt: skip


@pytest.mark.parametrize("pruner", ["nni", "depgraph"])
def test_engines_that_cannot_cut_recurrent_layers_are_refused(recurrent, pruner):
    with pytest.raises(UsageError, match=f"{pruner} cannot cut recurrent layers"):
        engines(recurrent, pruner)


@pytest.mark.parametrize("pruner", ["nni", "depgraph"])
def test_what_is_folded_into_kept_channels_brings_the_outputs_nearer(pruner):
    torch.manual_seed(0)
    net = build("resnet8", classes=10, input_shape=(1, 8, 8)).eval()
    source, data = PrunableModel.of(trace(net), (1, 8, 8)), load("digits")
    scorer = Scorer("fisher", data.train, epochs=4.0, seed=0, task=CLASSIFICATION)
    known = scorer.importance(source, 1).moments
    scores = {group.name: torch.ones(group.channels) for group in source.groups}
    inputs, _ = next(iter(data.validation.epoch(batch_size=128)))
    cuts = [cut_to(source, half(source), scores, pruner, given).model for given in (None, known)]
    with torch.no_grad():
        off = [float((cut.eval()(inputs) - net(inputs)).square().mean()) for cut in cuts]
    assert off[1] < 0.8 * off[0]
