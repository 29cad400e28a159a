from __future__ import annotations

import dataclasses

import pytest
import torch

from edgespiral.core.records.events import Candidate
from edgespiral.core.records.journal import Journal
from edgespiral.models.saved import trace
from edgespiral.prune.groups import widths_of
from edgespiral.prune.prunable import PrunableModel
from edgespiral.spiral.planning.candidates import CONFIRMING_ROUNDS
from edgespiral.spiral.planning.importance import Importance
from edgespiral.spiral.planning.planner import OutOfReach
from edgespiral.spiral.planning.search import Planned


def candidates(planner):
    return [event for event in planner.journal.read() if isinstance(event, Candidate)]


def test_it_lands_under_the_target_with_widths_it_measured(planner, searched, importance):
    target_ms = planner.start_ms / 1.7
    planned = planner.plan(1, searched, importance, target_ms=target_ms, allocation="latency")
    assert isinstance(planned, Planned)
    measured = {tuple(c.widths.items()): c.devices[0].speedup.value for c in candidates(planner)}
    assert 0.6 * target_ms < planned.latency_ms <= 0.98 * target_ms
    known = measured[tuple(planned.widths.items())]
    assert planned.latency_ms == pytest.approx(planner.start_ms / known)
    assert all(width % 16 == 0 for width in planned.widths.values())


def test_what_an_interrupted_run_measured_is_not_measured_again(planner, searched, importance):
    target_ms = planner.start_ms / 1.7
    planner.plan(1, searched, importance, target_ms=target_ms, allocation="latency")
    known = candidates(planner)
    resumed = dataclasses.replace(
        planner, journal=Journal(planner.work.parent / "resumed.jsonl"), caches=()
    )
    resumed.recall(known)
    resumed.plan(1, searched, importance, target_ms=target_ms, allocation="latency")
    again = [c for c in candidates(resumed) if c.widths in [k.widths for k in known]]
    # How long the search goes on is up to the machine; the survey is not among what it repeats.
    assert len(known) > len(again)
    assert all(len(c.devices[0].measurement.rounds_ms) == CONFIRMING_ROUNDS for c in again)


def test_a_target_out_of_reach_gives_the_fastest_there_is(planner, searched, importance):
    reach = planner.plan(1, searched, importance, target_ms=1e-5, allocation="latency")
    assert isinstance(reach, OutOfReach)
    assert 0 < reach.fastest_ms < planner.start_ms


def test_the_fastest_of_all_is_narrower_than_one_turn_may_go(planner, searched, importance):
    reach = planner.plan(1, searched, importance, target_ms=1e-5, allocation="latency")
    assert isinstance(reach, OutOfReach)
    assert 0 < planner.fastest_ms() < planner.start_ms
    narrowest = candidates(planner)[-1].widths
    assert {narrowest[g] for b in searched.branches for g in b.groups} == {0}


@pytest.mark.parametrize("allocation", ["latency", "uniform", "global"])
def test_where_nothing_is_left_to_choose_that_is_how_fast_it_is(planner, searched, allocation):
    widths = {group.name: min(16, group.channels) for group in searched.groups}
    gone = {name: 0 for branch in searched.branches for name in branch.groups}
    parent = PrunableModel.of(
        trace(searched.candidate(widths | gone)), (1, 16, 16), reference=searched.groups
    )
    scores = Importance({g.name: torch.ones(g.channels) for g in parent.groups}, {}, {})
    found = planner.plan(2, parent, scores, target_ms=1e-5, allocation=allocation)
    assert isinstance(found, OutOfReach)
    assert candidates(planner)[-1].widths == widths | gone


def test_uniform_allocation_measures_too(planner, searched, importance):
    target_ms = planner.start_ms / 1.3
    planned = planner.plan(1, searched, importance, target_ms=target_ms, allocation="uniform")
    assert isinstance(planned, Planned)
    assert all(width > 0 for width in planned.widths.values())


def test_with_sparse_kernels_the_uncut_model_is_measured_too(
    planner, searched, importance, tmp_path
):
    sparse = dataclasses.replace(
        planner,
        two_four=True,
        caches=(),
        journal=Journal(tmp_path / "journal.jsonl"),
        work=tmp_path,
    )
    found = sparse.plan(
        1, searched, importance, target_ms=10 * planner.start_ms, allocation="latency"
    )
    (measured,) = candidates(sparse)
    assert isinstance(found, Planned)
    assert found.widths == measured.widths == widths_of(searched.groups)


def test_a_later_run_starts_from_the_cache_and_confirms_what_it_builds_on(
    planner, searched, importance
):
    target_ms = planner.start_ms / 1.7
    planner.plan(1, searched, importance, target_ms=target_ms, allocation="latency")
    journal = Journal(planner.work.parent / "later.jsonl")
    later = dataclasses.replace(planner, journal=journal)
    planned = later.plan(1, searched, importance, target_ms=target_ms, allocation="latency")
    assert later.reused_models > 5
    assert later.reused_layers > 10
    measured = candidates(later)
    assert len(measured) < len(candidates(planner))
    confirmed = [
        c for c in measured if len(c.devices[0].measurement.rounds_ms) == CONFIRMING_ROUNDS
    ]
    assert planned.widths in [c.widths for c in confirmed]


def test_what_the_cache_says_of_reach_is_measured_too(planner):
    planner.fastest_ms()
    later = dataclasses.replace(planner, journal=Journal(planner.work.parent / "reach.jsonl"))
    assert later.fastest_ms() > 0
    assert len(candidates(later)) == 1


def test_what_cuts_buy_is_known_once_a_turn_is_planned(planner, searched, importance):
    fresh = dataclasses.replace(planner, journal=Journal(planner.work.parent / "n.jsonl"))
    base = {group.name: group.channels for group in searched.groups}
    assert fresh.cut_costs(searched, importance, base) == ()
    target_ms = planner.start_ms / 1.7
    planned = planner.plan(1, searched, importance, target_ms=target_ms, allocation="latency")
    cuts = planner.cut_costs(searched, importance, planned.widths)
    assert {cut.name for cut in cuts} <= {*base, *(branch.name for branch in searched.branches)}
    assert sum(cut.saved_ms["host-cpu"] for cut in cuts) > 0


@pytest.mark.parametrize("allocation", ["latency", "uniform", "global"])
def test_a_cut_within_the_budget_is_tried_however_close_to_it(
    planner, searched, importance, allocation
):
    def plan(target_ms, budget_ms=None):
        limit_ms = max(target_ms, budget_ms or 0.0)
        planned = planner.plan(
            1, searched, importance, target_ms=target_ms, budget_ms=budget_ms, allocation=allocation
        )
        # Each look measures anew, so the fastest may have become slower than the limit meanwhile.
        assert isinstance(planned, Planned) or planned.fastest_ms > limit_ms
        return planned

    def first_within(plan_for, limit_ms):
        for _ in range(10):
            planned = plan_for(limit_ms)
            if isinstance(planned, Planned):
                return planned
            limit_ms = 1.01 * planned.fastest_ms
        raise AssertionError("nothing within a hundredth of the fastest was tried")

    # Within the target, if not by the hundredths that a search aims below it.
    planned = first_within(plan, 1.01 * plan(1e-5).fastest_ms)
    # Or within the budget, where a turn aims lower since the one before has just missed it.
    first_within(lambda budget_ms: plan(1e-5, budget_ms), 1.01 * planned.latency_ms)


def test_what_an_earlier_turn_made_is_not_tried_again(planner, searched):
    widths = {group.name: min(16, group.channels) for group in searched.groups}
    gone = {name: 0 for branch in searched.branches for name in branch.groups}
    parent = PrunableModel.of(
        trace(searched.candidate(widths | gone)), (1, 16, 16), reference=searched.groups
    )
    scores = Importance({g.name: torch.ones(g.channels) for g in parent.groups}, {}, {})
    for target_ms in (1e-5, 0.99 * planner.fastest_ms()):
        found = planner.plan(
            2, parent, scores, target_ms=target_ms, allocation="latency", budget_ms=1e3
        )
        assert isinstance(found, OutOfReach)


def test_a_model_is_given_up_only_if_its_narrowest_cut_is_surely_too_slow(planner):
    beyond = planner.beyond_reach(0.1 * planner.fastest_ms())
    assert isinstance(beyond, OutOfReach)
    before = len(candidates(planner))
    assert planner.beyond_reach(10 * beyond.fastest_ms) is None
    assert len(candidates(planner)) == before, "what is surely within is not measured at length"
