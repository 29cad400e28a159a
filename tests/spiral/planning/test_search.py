"""The search on a real network and device; only what cuts do to its outputs is made up."""

from __future__ import annotations

import dataclasses

from edgespiral.core.records.events import Candidate
from edgespiral.core.records.journal import Journal
from edgespiral.prune.groups import widths_of
from edgespiral.spiral.planning.screening import Screen
from edgespiral.spiral.planning.search import Planned


def test_with_a_screen_the_best_whole_cut_of_those_that_land_is_chosen(
    planner, searched, importance
):
    wide = "layer3.0.conv2"
    screen = Screen(
        lambda cuts: [1.0 + widths[wide] for widths in cuts], planner.weight_count, affordable=40
    )
    target_ms = planner.start_ms / 1.7
    planned = planner.plan(
        1, searched, importance, target_ms=target_ms, allocation="latency", screen=screen
    )
    added_up = planner.plan(1, searched, importance, target_ms=target_ms, allocation="latency")
    assert planned.latency_ms <= 0.98 * target_ms
    assert screen.price(planned.widths) <= screen.price(added_up.widths)
    assert planned.widths[wide] < widths_of(searched.groups)[wide]
    measured = [e.widths for e in planner.journal.read() if isinstance(e, Candidate)]
    assert planned.widths in measured
    # What was measured to land may be priced beyond what the descent could afford.
    assert 5 < len(screen.prices) < 60


def test_where_all_cuts_are_as_bad_the_one_by_prices_stays(planner, searched, importance, tmp_path):
    fresh = dataclasses.replace(planner, journal=Journal(tmp_path / "journal.jsonl"))
    screen = Screen(lambda cuts: [1.0] * len(cuts), lambda _: 1.0, affordable=20)
    target_ms = planner.start_ms / 1.7
    planned = fresh.plan(
        1, searched, importance, target_ms=target_ms, allocation="latency", screen=screen
    )
    assert isinstance(planned, Planned)
    assert planned.latency_ms <= 0.98 * target_ms
