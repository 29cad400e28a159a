from __future__ import annotations

import pytest
import torch

from edgespiral.core.errors import DataError, ModelError
from edgespiral.prune.branches import find_branches
from edgespiral.prune.groups import find_groups
from edgespiral.prune.scoring.divergence import OutputDivergence, priced
from edgespiral.prune.scoring.reconstruct import moments
from edgespiral.tasks.classification import CLASSIFICATION


@pytest.fixture
def inputs():
    return [torch.randn(32, 3, 8, 8, generator=torch.Generator().manual_seed(s)) for s in (1, 2)]


def test_more_removed_is_more_damage(residual, example, inputs):
    groups = find_groups(residual, example)
    damage = OutputDivergence(residual, groups, inputs, task=CLASSIFICATION)
    scores = {group.name: torch.arange(group.channels).float() for group in groups}
    some, most = (damage.of_widths(scores, {"stem": width}) for width in (12, 2))
    assert 0 < some < most


def test_scaled_scores_price_half_a_group_at_its_damage(residual, example, inputs):
    groups = find_groups(residual, example)
    damage = OutputDivergence(residual, groups, inputs, task=CLASSIFICATION)
    scores = {group.name: torch.rand(group.channels) + 0.1 for group in groups}
    scaled = priced(damage, scores).channels["stem"]
    assert torch.equal(scaled.argsort(), scores["stem"].argsort())
    assert float(scaled.sort().values[:8].sum()) == pytest.approx(
        damage.of_widths(scores, {"stem": 8}), rel=1e-5
    )


def test_a_branch_that_does_nothing_costs_next_to_nothing(residual, example, inputs):
    with torch.no_grad():
        residual.get_submodule("block2.bn2").weight.zero_()
        residual.get_submodule("block2.bn2").bias.zero_()
    groups = find_groups(residual, example)
    first, second = find_branches(residual, groups, example)
    damage = OutputDivergence(residual, groups, inputs, task=CLASSIFICATION)
    assert damage.of_branch(second) < 0.5 * damage.of_branch(first)


def test_the_model_is_left_as_it_was(residual, example, inputs):
    before = {name: value.clone() for name, value in residual.state_dict().items()}
    groups = find_groups(residual, example)
    OutputDivergence(residual, groups, inputs, task=CLASSIFICATION).of_widths(
        {group.name: torch.ones(group.channels) for group in groups}, {"stem": 4}
    )
    assert all(torch.equal(v, residual.state_dict()[n]) for n, v in before.items())


def test_no_samples_are_refused(residual, example):
    with pytest.raises(DataError, match="got none"):
        OutputDivergence(residual, find_groups(residual, example), [], task=CLASSIFICATION)


def test_outputs_that_are_not_finite_are_refused(residual, example, inputs):
    groups = find_groups(residual, example)
    with torch.no_grad():
        residual.head.bias[0] = float("nan")
    with pytest.raises(ModelError, match="not finite"):
        OutputDivergence(residual, groups, inputs, task=CLASSIFICATION)


def test_a_whole_cut_is_what_its_parts_do_together(residual, example, inputs):
    groups = find_groups(residual, example)
    first, _ = find_branches(residual, groups, example)
    damage = OutputDivergence(residual, groups, inputs, task=CLASSIFICATION)
    scores = {group.name: torch.arange(group.channels).float() for group in groups}
    whole = {group.name: group.channels for group in groups}
    assert damage.of_cut(scores, {**whole, "stem": 8}) == damage.of_widths(scores, {"stem": 8})
    gone = {**whole, **dict.fromkeys(first.groups, 0)}
    assert damage.of_cut(scores, gone, [first]) == damage.of_branch(first)
    both = damage.of_cut(scores, {**gone, "stem": 8}, [first])
    assert both > damage.of_cut(scores, gone, [first])


def test_with_moments_what_goes_is_folded_into_what_stays(residual, example, inputs):
    groups = find_groups(residual, example)
    scores = {group.name: torch.rand(group.channels) for group in groups}
    plain = OutputDivergence(residual, groups, inputs, task=CLASSIFICATION)
    folding = OutputDivergence(
        residual, groups, inputs, moments(residual, groups, inputs), task=CLASSIFICATION
    )
    widths = {"stem": 6}
    assert folding.of_widths(scores, widths) < plain.of_widths(scores, widths)
