"""bench/peer_search.py finds the cut that meets a latency by few that are timed."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from types import ModuleType

BENCH = Path(__file__).parents[1] / "bench"
RATIOS = [step / 40 for step in range(1, 39)]


@pytest.fixture
def search(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCH))
    return importlib.import_module("peer_search")


@pytest.mark.parametrize("asked", [1.01, 1.5, 2.0, 3.7, 4.0])
def test_of_all_cuts_the_first_that_is_fast_enough_is_found_by_few(
    search: ModuleType, asked: float
) -> None:
    timed: list[float] = []

    def staircase(ratio: float) -> float:
        timed.append(ratio)
        # Kernels work in blocks of 16 of 64 channels.
        return 4 / -(-round(64 * (1 - ratio)) // 16)

    least = search.first_enough(RATIOS, asked, staircase)
    assert len(timed) <= 7
    assert least == next(ratio for ratio in RATIOS if staircase(ratio) >= asked)


def test_a_latency_that_the_largest_cut_misses_takes_one_look(search: ModuleType) -> None:
    timed: list[float] = []

    def speedup(ratio: float) -> float:
        timed.append(ratio)
        return 1 / (1 - ratio / 2)

    assert search.first_enough(RATIOS, 4.0, speedup) is None
    assert timed == [RATIOS[-1]]
