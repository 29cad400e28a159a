"""The search for one turn's widths: propose, measure on the device, correct the model, repeat."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgespiral.spiral.planning.allocate import ALLOCATIONS
from edgespiral.spiral.planning.latencies import LANDING_HIGH, LANDING_LOW
from edgespiral.spiral.planning.pace import rounds_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgespiral.core.records.widths import Widths
    from edgespiral.spiral.planning.candidates import Candidates
    from edgespiral.spiral.planning.latencies import Latencies
    from edgespiral.spiral.planning.screening import Screen
    from edgespiral.spiral.planning.stepping.choices import Choices

AIMS = (0.97, 0.955, 0.94)
# Of many cuts those look best whose latency is predicted too low; each round aims lower by this.
CAUTION = 0.01
# Predicted at least, of what is worth comparing as a whole.
SCREENED_LOW = 0.9
PROPOSAL_ROUNDS = 16
MAX_ROUNDS = 6
ANCHORS = 5
# Of what was measured, cuts that lose more than this many that lose less are not worth a price.
MOST_PRICED = 5


@dataclass(frozen=True)
class Planned:
    """Widths chosen for a turn, what was measured at them, and what their groups lose together."""

    widths: Widths
    latency_ms: float
    importance_lost: float


@dataclass(frozen=True)
class Search:
    """One turn's search.

    Attributes:
        target_ms: what is to be measured, at most.
        choice: the widths to choose from.
        allocation: a name of `ALLOCATIONS`.
        candidates: measures, and keeps what it learns in its latencies.
        screen: prices whole cuts; without one, prices of groups are added up.
    """

    turn: int
    target_ms: float
    choice: Choices
    allocation: str
    candidates: Candidates
    screen: Screen | None = None

    def best(self) -> Planned | None:
        """The best cut that lands, or failing that the best below the target.

        Raises:
            MeasurementError, TargetError: the device did not answer.
        """
        cached = self._known_best()
        if cached is not None:
            return cached
        if self.screen is not None:  # what corrects the latency model where cuts are compared
            self._measure(self._fresh(self._solved())[: self._first_count])
        for attempt in range(MAX_ROUNDS):
            proposals = self._proposals(attempt)
            if not proposals:
                break
            self._measure(proposals)
            best = self._confirmed_best(least_ms=LANDING_LOW * self.target_ms)
            if best is not None:
                return best
        return self._confirmed_best(least_ms=0.0)

    @property
    def _latencies(self) -> Latencies:
        return self.candidates.latencies

    @property
    def _first_count(self) -> int:
        """How many cuts correct the latency model: of slow models one, as they take long."""
        return rounds_of(len(AIMS), self.candidates.slowest_ms, least=1)

    def _known_best(self) -> Planned | None:
        """A landing that the cache tells of and this run confirms, if no proposal loses less."""
        if self.screen is not None or not self.candidates.unverified:
            return None
        lost = min(map(self.choice.total_lost, self._solved()), default=-math.inf)
        least_ms = LANDING_LOW * self.target_ms
        best = self._best()
        if best is None or best.latency_ms < least_ms or best.importance_lost > lost:
            return None
        confirmed = self._confirmed_best(least_ms=least_ms)
        return confirmed if confirmed and confirmed.importance_lost <= lost else None

    def _confirmed_best(self, *, least_ms: float) -> Planned | None:
        """The best that was measured, if at least `least_ms`, measured again at length.

        The best of several quick measurements is likely a lucky one.
        """
        best = self._best()
        while best is not None and best.latency_ms >= least_ms:
            if best.widths in self.candidates.confirmed:
                return best
            self.candidates.confirm(self.turn, best.widths)
            best = self._best()
        return None

    def _price(self, widths: Widths) -> float:
        return self.screen.price(widths) if self.screen else self.choice.total_lost(widths)

    def _proposals(self, attempt: int) -> list[Widths]:
        best = self._best()
        # From a cut far below the target no exchange leads to one that lands.
        is_near = best is not None and best.latency_ms >= SCREENED_LOW * self.target_ms
        if self.screen is not None and best is not None and is_near:
            return self._screened(self.screen, best, [aim - CAUTION * attempt for aim in AIMS])
        nearby = self._nearby() if self.allocation == "latency" else []
        most = len(AIMS) if attempt else self._first_count
        return self._fresh([*self._solved(), *nearby])[:most]

    def _fresh(self, cuts: Sequence[Widths]) -> list[Widths]:
        """What of `cuts` was not measured yet, each once."""
        measured = self._latencies.measured
        return list(dict.fromkeys(widths for widths in cuts if widths not in measured))

    def _measure(self, proposals: Sequence[Widths]) -> None:
        if proposals:
            self.candidates.measure(self.turn, proposals, rounds=PROPOSAL_ROUNDS)

    def _solved(self) -> list[Widths]:
        solve, latency = ALLOCATIONS[self.allocation], self._latencies.near(self.target_ms)
        solutions = (solve(self.choice, latency, self.target_ms * aim) for aim in AIMS)
        return [widths for widths in solutions if widths]

    def _screened(self, screen: Screen, best: Planned, aims: Sequence[float]) -> list[Widths]:
        """For each of `aims` the best cut expected to meet it, if better than all that landed."""
        latency, price = self._latencies.near(self.target_ms), screen.price(best.widths)

        def share(widths: Widths) -> float:
            known_ms = self._latencies.measured.get(widths)
            return (known_ms or latency.predict_ms(widths)) / self.target_ms

        priced = (widths for widths in screen.prices if share(widths) <= aims[0])
        start = min((best.widths, *priced), key=screen.price)
        screen.descend(self.choice, start, lambda w: SCREENED_LOW <= share(w) <= aims[0])
        better = [widths for widths, cut_price in screen.prices.items() if cut_price < price]
        # Of those of one price in an order that is the same every time.
        fresh = self._fresh(sorted(better, key=lambda w: (screen.prices[w], sorted(w.items()))))
        shares = [share(widths) for widths in fresh]
        by_place: dict[int, Widths] = {}
        for aim in aims:
            fits = (i for i, ratio in enumerate(shares) if ratio <= aim and i not in by_place)
            if (index := next(fits, None)) is not None:
                by_place[index] = fresh[index]
        return list(by_place.values())

    def _nearby(self) -> list[Widths]:
        """Neighbours of what was measured nearest to the target, expected to land, best first.

        A neighbour's latency is its measured anchor's plus the model's difference, which is far
        more exact than the model's total.
        """
        landing: dict[Widths, None] = {}
        for anchor, _ in self._latencies.nearest(self.target_ms, ANCHORS):
            if not self.choice.allows(anchor):
                continue
            for widths in self.choice.neighbours(anchor):
                expected_ms = self._latencies.expected_ms(widths, anchor)
                if LANDING_LOW <= expected_ms / self.target_ms <= LANDING_HIGH:
                    landing[widths] = None
        return sorted(landing, key=self.choice.total_lost)

    def _best(self) -> Planned | None:
        """The best of what was measured to be fast enough."""
        reachable = [
            Planned(widths, ms, self.choice.total_lost(widths))
            for widths, ms in self._latencies.measured.items()
            if ms <= LANDING_HIGH * self.target_ms and self.choice.allows(widths)
        ]
        if self.screen is not None:
            screen = self.screen
            reachable.sort(key=lambda p: (p.widths not in screen.prices, p.importance_lost))
            price_count = sum(p.widths in screen.prices for p in reachable)
            reachable = reachable[: max(price_count, MOST_PRICED)]
        return min(reachable, key=lambda planned: self._price(planned.widths), default=None)
