"""The front of latency against predicted loss: who is on it, its knees, what more speed costs.

Everything is in the logarithm of the latency, in which a step of ten percent is the same length
everywhere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# So many times what speed cost before a knee it costs beyond it.
KNEE = 2.0
TENTH = 1.1


@dataclass(frozen=True)
class Place:
    """A cut in the plane of latency and predicted loss."""

    latency_ms: float
    loss_nats: float


@dataclass(frozen=True)
class Front:
    """The places that no other is both as fast as and predicted to lose less than.

    Attributes:
        places: the uncut model and cuts of it, the slowest first; losses ascend.

    Example:
        >>> front = Front.of([Place(10, 0), Place(8, 0.1), Place(7, 0.5), Place(7.5, 0.6)])
        >>> [place.latency_ms for place in front.places], front.knees()
        ([10, 8, 7], {Place(latency_ms=8, loss_nats=0.1)})
    """

    places: tuple[Place, ...]

    @classmethod
    def of(cls, places: Sequence[Place]) -> Front:
        """The front of `places`."""
        fastest_first = sorted(places, key=lambda place: (place.latency_ms, place.loss_nats))
        front: list[Place] = []
        for place in fastest_first:
            if not front or place.loss_nats < front[-1].loss_nats:
                front.append(place)
        return cls(tuple(reversed(front)))

    def knees(self) -> set[Place]:
        """Corners of the front's lower hull beyond which more speed costs `KNEE` times as much.

        Of corners in a row those alone that are sharper than their neighbours: what speed costs
        often grows at every step by about the same.
        """
        hull = self._hull()
        slopes = [_slope(slow, fast) for slow, fast in pairwise(hull)]
        turns = [after / before for before, after in pairwise(slopes)]
        return {
            place
            for place, turn, beside in zip(hull[1:-1], turns, _neighbours(turns), strict=True)
            if turn >= KNEE and turn > beside
        }

    def next_tenth(self, place: Place) -> float | None:
        """What 10 % more speed than at `place` adds to the loss; None beyond the fastest."""
        aim_ms = place.latency_ms / TENTH
        if not self.places or aim_ms < self.places[-1].latency_ms:
            return None
        for slow, fast in pairwise(self.places):
            if fast.latency_ms <= aim_ms <= slow.latency_ms:
                way = math.log(slow.latency_ms / aim_ms)
                return slow.loss_nats + _slope(slow, fast) * way - place.loss_nats
        return 0.0  # the slowest of the front is faster than that, and loses less

    def _hull(self) -> list[Place]:
        hull: list[Place] = []
        for place in self.places:
            while len(hull) > 1 and _slope(hull[-2], hull[-1]) >= _slope(hull[-1], place):
                hull.pop()
            hull.append(place)
        return hull


def _neighbours(turns: Sequence[float]) -> list[float]:
    """The larger of each turn's neighbours."""
    padded = [0.0, *turns, 0.0]
    return [max(before, after) for before, after in zip(padded, padded[2:], strict=False)]


def _slope(slow: Place, fast: Place) -> float:
    """Nats for each e-fold in speed."""
    return (fast.loss_nats - slow.loss_nats) / math.log(slow.latency_ms / fast.latency_ms)
