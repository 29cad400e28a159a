from __future__ import annotations

import math
from itertools import pairwise

import pytest

from edgespiral.spiral.planning.quality import (
    AIM,
    MOST_STUDENTS,
    QualityGoal,
    Repeated,
    Trained,
)
from edgespiral.spiral.schedule import LARGEST_STEP, SMALLEST_STEP

START_MS, FASTEST_MS, MAX_DROP = 8.0, 0.5, 1.0


def divergence(latency_ms):
    return 0.0 if latency_ms >= START_MS else (START_MS / latency_ms - 1) ** 1.5


def goal(**fields):
    given = {"most_students": MOST_STUDENTS, **fields}
    return QualityGoal(START_MS, FASTEST_MS, MAX_DROP, given.pop("nats", divergence), **given)


def search(lost_of, **fields):
    """Train students whose losses follow from their latencies; give them and the last one held."""
    sought, trained = goal(**fields), []
    while (aim := sought.aim(trained)) is not None:
        assert FASTEST_MS <= aim.latency_ms < START_MS
        lost = lost_of(aim.latency_ms)
        nats = sought.divergence(aim.latency_ms)
        trained.append(Trained(len(trained) + 1, aim.latency_ms, lost, lost <= MAX_DROP, nats))
    return trained, sought.best(trained)


@pytest.mark.parametrize("points_a_nat", [0.05, 0.3, 1.0, 4.0])
@pytest.mark.parametrize("power", [0.7, 1.0, 1.4])
def test_few_students_find_the_fastest_that_holds(points_a_nat, power):
    def lost_of(latency_ms):
        return points_a_nat * divergence(latency_ms) ** power

    trained, best = search(lost_of)
    assert best.holds
    possible_nats = (MAX_DROP / points_a_nat) ** (1 / power)
    possible_ms = max(FASTEST_MS, START_MS / (1 + possible_nats ** (1 / 1.5)))
    assert best.latency_ms / possible_ms < 1.2, (best, possible_ms)
    assert len(trained) <= MOST_STUDENTS


def test_where_losses_go_with_divergence_three_students_are_enough():
    trained, best = search(lambda latency_ms: 0.3 * divergence(latency_ms))
    assert AIM - 0.05 <= trained[1].lost <= MAX_DROP, "the second was aimed by the first"
    assert best.lost > 0.75 * MAX_DROP
    assert len(trained) <= 5


def test_what_loses_nothing_goes_to_the_fastest_cut():
    trained, best = search(lambda latency_ms: -0.1)
    assert best.latency_ms / FASTEST_MS < SMALLEST_STEP
    steps = [START_MS, *(student.latency_ms for student in trained)]
    assert all(a / b <= LARGEST_STEP + 1e-9 for a, b in pairwise(steps))


def test_where_nothing_holds_it_ends_with_the_teacher():
    trained, best = search(lambda latency_ms: 50.0)
    assert best.turn == 0
    assert 0 < len(trained) <= MOST_STUDENTS


def test_no_more_students_are_trained_than_asked_for():
    trained, _ = search(lambda latency_ms: 0.3 * divergence(latency_ms), most_students=2)
    assert len(trained) == 2


def test_a_cut_that_no_allocation_reaches_is_infinitely_far():
    def nats(latency_ms):
        return math.inf if latency_ms < 3.0 else divergence(latency_ms)

    trained, best = search(lambda latency_ms: 0.1 * divergence(max(3.0, latency_ms)), nats=nats)
    assert best.holds
    assert all(math.isfinite(student.latency_ms) for student in trained)


def search_coarse(cuts_ms, lost_of, told=1.0):
    """As `search`, where nothing but `cuts_ms` can be cut to; planning tells `told` times that."""
    sought, trained, plans = goal(), [], 0
    while (aim := sought.aim(trained)) is not None:
        plans += 1
        assert plans < 40, "it goes on without end"
        assert aim.lost is None or aim.lost >= 0
        landed_ms = max(ms for ms in cuts_ms if told * ms <= aim.latency_ms)
        same = next((t for t in trained if t.latency_ms == landed_ms), None)
        if same is not None:
            sought = sought.past(Repeated(same.turn, told * landed_ms), aim.latency_ms, trained)
            continue
        lost = lost_of(landed_ms)
        nats = sought.divergence(landed_ms)
        trained.append(Trained(len(trained) + 1, landed_ms, lost, lost <= MAX_DROP, nats))
    return trained, sought.best(trained)


@pytest.mark.parametrize("told", [1.0, 0.85])
@pytest.mark.parametrize("held_ms", [7.0, 6.0, 3.4, 2.0, 1.0, FASTEST_MS])
def test_of_coarse_widths_none_is_trained_twice(held_ms, told):
    cuts_ms = (7.0, 6.0, 3.4, 2.0, 1.0, FASTEST_MS)
    trained, best = search_coarse(cuts_ms, lambda ms: 0.5 if ms >= held_ms else 1.5, told)
    latencies = [student.latency_ms for student in trained]
    assert len(set(latencies)) == len(latencies)
    assert best.holds
    assert best.latency_ms == held_ms or len(trained) == MOST_STUDENTS


def test_a_student_that_gained_leaves_no_loss_below_nothing_to_expect():
    """Its training did it good, which is not what another cut brings."""
    gained = Trained(1, 7.9, -1.0, True, divergence(7.9))
    failed = Trained(2, 0.6, 1.1, False, divergence(0.6))
    aim = goal().aim([gained, failed])
    assert aim is not None
    assert aim.lost == 0.0


def test_noise_that_turns_the_order_over_does_not_confuse_it():
    """A slower student failed by chance: the faster that holds is what is built on."""
    slow = Trained(1, 4.0, 1.1, False, divergence(4.0))
    fast = Trained(2, 3.0, 0.4, True, divergence(3.0))
    assert goal().best([slow, fast]) is fast
    aim = goal().aim([slow, fast])
    assert aim is not None
    assert aim.latency_ms < 3.0
