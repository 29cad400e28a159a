"""Comparing whole cuts before any is trained: what each does to the outputs, and what it keeps.

Prices of groups add up for small cuts only. So of the cuts that are expected to land, dozens are
masked as a whole, with what goes folded into what stays, and their outputs compared with the
parent's. Of two cuts that do the same to the outputs, the one with more weights learns better. Over
trained cuts the two together told more of the divergence after training than a short piece of the
training did (docs/allocation.md, "Comparing whole cuts").
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

import numpy as np

from edgespiral.spiral.planning.importance import comparable
from edgespiral.spiral.planning.pace import Pace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from edgespiral.core.records.widths import Widths
    from edgespiral.spiral.context import Parent
    from edgespiral.spiral.planning.importance import Scorer
    from edgespiral.spiral.planning.stepping.choices import Choices

    Vector = NDArray[np.float64]

# The divergence that a cut may have more by, for each times that it has more weights.
CAPACITY = 0.4
# How many of a cut's neighbours are compared before the best of them is gone to.
STEP = 5
# How firmly guesses hold to what prices of groups add up to, against 1 for everything else.
RIDGE_OF_PRICES = 2.0
MOST_PAIRS = 1000


@dataclass
class Screen:
    """Prices whole cuts, as many as can be afforded; what was asked once is not asked again.

    Attributes:
        damages: what each of some cuts does to the parent's outputs, in nats a sample.
        weight_count: how many weights it keeps.
        affordable: how many cuts may be compared, give or take a few.
    """

    damages: Callable[[Sequence[Widths]], Sequence[float]]
    weight_count: Callable[[Widths], float]
    affordable: int
    seed: int = 0
    prices: dict[Widths, float] = field(init=False, default_factory=dict)

    def price(self, widths: Widths) -> float:
        """Damage over weights to the power of `CAPACITY`; less is better."""
        self.compare([widths])
        return self.prices[widths]

    def compare(self, cuts: Sequence[Widths]) -> None:
        """Price all of some cuts at once."""
        due = [cut for cut in dict.fromkeys(cuts) if cut not in self.prices]
        for cut, damage in zip(due, self.damages(due) if due else (), strict=True):
            self.prices[cut] = damage / max(1.0, self.weight_count(cut)) ** CAPACITY

    def descend(self, choice: Choices, start: Widths, lands: Callable[[Widths], bool]) -> None:
        """Compare cuts that land, from `start` on, with half of what can still be afforded.

        Goes from one cut to the best of a few promising ones that differ from it in one or two
        groups, while that is better than where it is.
        """
        # Chooses among very many neighbours, secures nothing.
        mixer = random.Random(f"{self.seed} {len(self.prices)}")
        present = start
        self.price(present)
        # A few in any case: the latency model has changed since the last time.
        before = len(self.prices)
        until = min(before + max(STEP, (self.affordable - before) // 2), self.affordable + 2 * STEP)
        while len(self.prices) < until:
            near = self._unseen(choice, present, lands, mixer)[:STEP]
            self.compare(near)
            best = min(near, key=self.price, default=present)
            if len(near) < STEP and self.price(best) >= self.price(present):
                break
            present = min(present, best, key=self.price)

    def _unseen(
        self,
        choice: Choices,
        present: Widths,
        lands: Callable[[Widths], bool],
        mixer: random.Random,
    ) -> list[Widths]:
        """Neighbours of `present` yet to be priced, the most promising first."""
        cuts = list(
            dict.fromkeys(
                widths
                for widths in exchanges(choice, present, mixer)
                if widths not in self.prices and lands(widths)
            )
        )
        if not cuts:
            return []
        order = guessed(choice, self.prices, cuts).argsort(kind="stable")
        return [cuts[index] for index in order]


def guessed(choice: Choices, prices: Mapping[Widths, float], cuts: Sequence[Widths]) -> Vector:
    """Logarithms of the prices of `cuts` (N,), up to a constant, from the `prices` of others.

    A ridge regression on the groups' widths and the branches that go, drawn to what prices that
    add up say: with nothing known it says the same.
    """
    finite = {widths: price for widths, price in prices.items() if math.isfinite(price)}
    features = np.array([_features(choice, widths) for widths in cuts])
    if not finite:
        return features[:, 0]
    priced = np.array([_features(choice, widths) for widths in finite])
    logs = np.log(list(finite.values()))
    # Better cuts tell more of where better ones are.
    weights = np.exp(logs.min() - logs)
    centred = priced - priced.mean(0)
    prior = np.zeros(priced.shape[1])
    prior[0] = 1.0
    ridge = np.eye(len(prior))
    ridge[0, 0] = RIDGE_OF_PRICES
    normal = centred.T @ (centred * weights[:, None]) + ridge
    slopes = np.linalg.solve(normal, centred.T @ (weights * (logs - logs.mean())) + ridge @ prior)
    guesses: Vector = (features - priced.mean(0)) @ slopes
    return guesses


def _features(choice: Choices, widths: Widths) -> list[float]:
    lost = math.log(max(choice.total_lost(widths), 1e-9))
    shares = [math.log(widths[g] / o[-1]) if widths[g] else 0.0 for g, o in choice.options.items()]
    gone = choice.gone(widths)
    return [lost, *shares, *(float(name in gone) for name in choice.branches)]


def screen_of(
    scorer: Scorer,
    parent: Parent,
    turn: int,
    epochs: float,
    weight_count: Callable[[Widths], float],
    *,
    heard: Callable[[int, int, str], None],
) -> Screen | None:
    """What compares cuts of `parent`, if the turn's `epochs` of training can afford it.

    Raises:
        DataError: there are no training samples.
    """
    pace = Pace.of(parent.source.model, parent.source.example)
    affordable = comparable(epochs, len(scorer.train), pace)
    if not affordable:
        return None
    damages = scorer.damage_of_cuts(parent.source, parent.importance, turn)
    numbers = count(1)

    def compared(cuts: Sequence[Widths]) -> list[float]:
        for _ in cuts:
            heard(next(numbers), affordable, "")
        return damages(cuts)

    return Screen(compared, weight_count, affordable, scorer.seed)


def exchanges(choice: Choices, widths: Widths, mixer: random.Random) -> Iterator[Widths]:
    """One group to another width, or a branch gone or back; and two of these, one up, one down.

    Of each kind `MOST_PAIRS` at most.
    """
    ups, downs = (
        moves if len(moves) <= MOST_PAIRS else mixer.sample(moves, MOST_PAIRS)
        for moves in (list(choice.wider(widths)), list(choice.narrower(widths)))
    )
    yield from ups
    yield from downs
    pairs = len(ups) * len(downs)
    for pair in mixer.sample(range(pairs), min(pairs, MOST_PAIRS)):
        up, down = ups[pair // len(downs)], downs[pair % len(downs)]
        yield up | {name: down[name] for name in widths if down[name] != widths[name]}
