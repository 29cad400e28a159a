"""Where the nodes of a network stand below each other, and beside each other, and how lines run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Wire:
    """A value from the row that makes it to one that reads it, down a lane."""

    source: int
    target: int
    lane: int


@dataclass(frozen=True)
class Lanes:
    """A row a node: the lane that each stands in, the lines between them, how many lanes."""

    lane_of: tuple[int, ...]
    wires: tuple[Wire, ...]
    count: int


def laid_out(inputs: Sequence[Sequence[int]]) -> Lanes:
    """Lanes in which no line runs through a node that has nothing to do with it.

    A value goes straight down to its first reader, which stands below it where it can; for all the
    others it has one lane beside, so that there are never more lanes than two for a value.

    Args:
        inputs: by row, the rows above that it reads.
    """
    readers: list[list[int]] = [[] for _ in inputs]
    for row, read in enumerate(inputs):
        for source in read:
            readers[source].append(row)
    own: list[int] = []
    beside: dict[int, int] = {}
    free_from: list[int] = []
    for row, read in enumerate(inputs):
        ending = [own[source] for source in read if readers[source][0] == row]
        ending += [beside[source] for source in read if readers[source][1:][-1:] == [row]]
        lane = min(ending) if ending else _free(free_from, row)
        own.append(lane)
        free_from[lane] = min(readers[row], default=row + 1)
        if len(readers[row]) > 1:
            beside[row] = _free(free_from, row)
            free_from[beside[row]] = readers[row][-1]
    wires = [
        Wire(source, row, own[source] if readers[source][0] == row else beside[source])
        for row, read in enumerate(inputs)
        for source in read
    ]
    return Lanes(tuple(own), tuple(wires), len(free_from))


def _free(free_from: list[int], row: int) -> int:
    """The first lane that nothing is in at `row`, a new one where there is none."""
    for lane, first in enumerate(free_from):
        if first <= row:
            return lane
    free_from.append(row)
    return len(free_from) - 1
