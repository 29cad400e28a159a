"""Trials on a real network, data and training; only the candidates' latencies are made up."""

from __future__ import annotations

import pytest
import torch

from edgespiral.core.plan import load_plan
from edgespiral.spiral.importance import importance_of
from edgespiral.spiral.planner import Planned
from edgespiral.spiral.trial import finalists_worth_trying, try_finalists
from edgespiral.spiral.turn import Parent


@pytest.fixture(scope="module")
def plan():
    return load_plan(
        None, {"model": "resnet20", "data": "digits", "speedup": 2.0, "batch_size": 32}
    )


@pytest.fixture
def bench(plan, teacher, bench_for):
    return bench_for(plan, teacher.eval())


def test_the_cut_that_keeps_more_learns_faster(bench, plan, digits):
    source = bench.teacher
    parent = Parent(0, source, importance_of(plan, source, digits.train, 1))
    widest = {group.name: group.channels for group in source.groups}
    tight = {name: 16 if name.startswith("layer3") else width for name, width in widest.items()}
    finalists = [Planned(tight, 0.1, 1.0), Planned(widest, 0.1, 0.0)]
    before = {name: tensor.clone() for name, tensor in source.model.state_dict().items()}
    tried = try_finalists(bench, parent, finalists, turn=1, epochs=10.0)
    assert [finalist.widths for finalist in tried] == [widest, tight]
    assert 0 < tried[0].trial_loss < tried[1].trial_loss
    after = source.model.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    again = try_finalists(bench, parent, finalists, turn=1, epochs=10.0)
    assert [f.widths for f in again] == [f.widths for f in tried]


def test_a_trial_too_short_to_tell_is_not_made(plan):
    assert finalists_worth_trying(plan, samples=54_000, epochs=2.0) > 1
    assert finalists_worth_trying(plan, samples=1_000, epochs=2.0) == 1
    uniform = plan.model_copy(update={"allocation": "uniform"})
    assert finalists_worth_trying(uniform, samples=54_000, epochs=2.0) == 1
