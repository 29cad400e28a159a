"""Lines of a drawn network: each from the node that is read, and through no other one."""

from __future__ import annotations

import random

import pytest

from edgespiral.report.drawing.lanes import Lanes, laid_out

CHAIN = [[], [0], [1]]
# input, stem, two blocks of two layers with a shortcut, head
RESIDUAL = [[], [0], [1], [2], [1, 3], [4], [5], [4, 6], [7]]
# three layers side by side, all of one value, and the value again behind them
ATTENTION = [[], [0], [0], [0], [1, 2], [3, 4], [5], [0, 6]]
# each layer reads all before it
DENSE = [list(range(row)) for row in range(9)]


def crossed(inputs: list[list[int]], lanes: Lanes) -> list[tuple[int, int]]:
    """Nodes that stand in the way of a line between two others, with that line's source."""
    return [
        (row, wire.source)
        for wire in lanes.wires
        for row in range(wire.source + 1, wire.target)
        if lanes.lane_of[row] == wire.lane
    ]


def shared(lanes: Lanes) -> list[tuple[int, int]]:
    """Values that are in one lane at one time."""
    return [
        (one.source, other.source)
        for one in lanes.wires
        for other in lanes.wires
        if one.source < other.source and one.lane == other.lane and one.target > other.source
    ]


def test_a_chain_is_one_straight_line() -> None:
    lanes = laid_out(CHAIN)
    assert (lanes.lane_of, lanes.count) == ((0, 0, 0), 1)


def test_shortcuts_run_beside_the_layers_of_their_block() -> None:
    lanes = laid_out(RESIDUAL)
    assert set(lanes.lane_of) == {0}
    assert [wire.lane for wire in lanes.wires if wire.target - wire.source == 3] == [1, 1]
    assert lanes.count == 2


def test_layers_of_one_value_stand_beside_each_other() -> None:
    lanes = laid_out(ATTENTION)
    assert len({lanes.lane_of[row] for row in (1, 2, 3)}) == 3
    assert lanes.count == 4


@pytest.mark.parametrize("inputs", [CHAIN, RESIDUAL, ATTENTION, DENSE])
def test_each_line_ends_where_it_is_read_and_meets_no_other(inputs: list[list[int]]) -> None:
    lanes = laid_out(inputs)
    assert [(w.target, w.source) for w in lanes.wires] == [
        (row, source) for row, read in enumerate(inputs) for source in read
    ]
    assert crossed(inputs, lanes) == shared(lanes) == []
    assert {wire.lane for wire in lanes.wires} <= set(range(lanes.count))


@pytest.mark.parametrize("seed", range(20))
def test_no_line_runs_through_a_node_of_any_network(seed: int) -> None:
    chosen = random.Random(seed)
    inputs = [
        sorted(chosen.sample(range(row), min(row, chosen.choice((1, 1, 2, 3)))))
        for row in range(30)
    ]
    lanes = laid_out(inputs)
    assert crossed(inputs, lanes) == shared(lanes) == []


def test_a_line_through_a_node_would_be_seen() -> None:
    lanes = laid_out(RESIDUAL)
    crooked = Lanes(
        lanes.lane_of, tuple(w.__class__(w.source, w.target, 0) for w in lanes.wires), 1
    )
    assert crossed(RESIDUAL, crooked)
    assert shared(crooked)
