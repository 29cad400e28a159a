"""Where to cut: widths that lose the least importance within a latency.

The problem is a multiple-choice knapsack whose costs depend on neighbouring choices (a layer's time
needs both its input and its output width), so the exact linear solvers do not fit. It is solved
greedily by importance lost per millisecond saved, with the latency model asked anew at each step,
and then improved by exchanges until none helps; so is the narrowest choice, and the better of the
two is taken. See docs/allocation.md for how it was chosen.
"""

from __future__ import annotations

import math
from itertools import pairwise
from operator import itemgetter
from typing import TYPE_CHECKING, Protocol

import torch

from edgespiral.core.errors import UsageError
from edgespiral.prune.scoring.select import unit_scores
from edgespiral.spiral.planning.stepping.choices import Choices
from edgespiral.spiral.planning.stepping.descent import Descent
from edgespiral.spiral.planning.stepping.exchange import better_exchange
from edgespiral.spiral.planning.stepping.terms import InTerms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from torch import Tensor

    from edgespiral.core.records.widths import Widths
    from edgespiral.prune.branches import Branch
    from edgespiral.prune.groups import ChannelGroup
    from edgespiral.spiral.planning.stepping.choices import Step

    Solver = Callable[[Choices, "Latency", float], Widths | None]

MAX_EXCHANGES = 40


class Latency(Protocol):
    """Anything that predicts milliseconds from widths."""

    def predict_ms(self, widths: Mapping[str, int]) -> float:
        """Predicted latency at `widths`."""
        ...


def choices(
    groups: Sequence[ChannelGroup],
    importance: Mapping[str, Tensor],
    *,
    multiple: int,
    least_share: float,
    branches: Sequence[Branch] = (),
    branch_importance: Mapping[str, float] | None = None,
    gone: Sequence[str] = (),
) -> Choices:
    """The widths worth considering, in steps of the device's channel multiple; see `is_settled`.

    Args:
        groups: the model's groups.
        importance: per group (channels,) scores.
        multiple: the device's channel multiple; kernels cost the same in between.
        least_share: the smallest share of a group's channels that may remain in one turn, so that
            no group collapses on the strength of an additive estimate.
        branches: the branches that may go as a whole.
        branch_importance: what each branch loses by going.
        gone: groups that left with their branch in an earlier turn.
    """
    options = {g.name: _options(g, multiple, least_share) for g in groups}
    lost = {g.name: _lost(g, importance[g.name], options[g.name]) for g in groups}
    return Choices(
        {**options, **dict.fromkeys(gone, (0,))},
        lost,
        {b.name: b.groups for b in branches},
        dict(branch_importance or {}),
    )


def every_choice(
    groups: Sequence[ChannelGroup], branches: Sequence[Branch], multiple: int
) -> Choices:
    """All widths that any number of turns could reach, without what they lose.

    Raises:
        UsageError: nothing can be cut in steps of `multiple`.
    """
    nothing = {group.name: torch.zeros(group.channels) for group in groups}
    every = choices(groups, nothing, multiple=multiple, least_share=0.0, branches=branches)
    if every.is_settled:
        widest = max(group.channels for group in groups)
        raise UsageError(
            f"nothing to cut: the widest group has {widest} channels and the step is {multiple}",
            where="device.channel_multiple",
            hint="use a smaller channel_multiple in the target's profile",
        )
    return every


def allocate(choice: Choices, latency: Latency, target_ms: float) -> Widths | None:
    """Widths of the least importance lost whose predicted latency is at most `target_ms`.

    Returns None where no widths are predicted to be that fast.
    """
    widths: Widths | None = choice.widest()
    descent = _descent(choice, latency)
    while widths is not None and latency.predict_ms(widths) > target_ms:
        widths = (
            _cheapest_step(choice, latency, widths, target_ms)
            if descent is None
            else _step_of(descent, choice, target_ms)
        )
    starts = [widths, choice.narrowest()]
    allocations = [
        _exchange(choice, latency, start, target_ms)
        for start in starts
        if start is not None and latency.predict_ms(start) <= target_ms
    ]
    return min(allocations, key=choice.total_lost, default=None)


def uniform(choice: Choices) -> Iterator[Widths]:
    """The same share of every group's channels, from the widest down; no branch goes."""
    shares = sorted({w / o[-1] for o in choice.options.values() for w in o if w}, reverse=True)
    return map(choice.at_share, shares)


def by_global_rank(choice: Choices) -> Iterator[Widths]:
    """Cut whatever step loses least importance a channel, wherever it is, again and again."""
    widths = choice.widest()
    while True:
        yield widths
        steps = list(_next_steps(choice, widths))
        if not steps:
            return
        widths = min(steps, key=lambda step: _lost_per_channel(choice, widths, step))


# Allocations that do not look at the device choose along one path.
FAMILIES: dict[str, Callable[[Choices], Iterator[Widths]]] = {
    "uniform": uniform,
    "global": by_global_rank,
}


def _along(family: Callable[[Choices], Iterator[Widths]]) -> Solver:
    def first_that_meets(choice: Choices, latency: Latency, target_ms: float) -> Widths | None:
        return next((w for w in family(choice) if latency.predict_ms(w) <= target_ms), None)

    return first_that_meets


ALLOCATIONS: dict[str, Solver] = {
    "latency": allocate,
    **{name: _along(family) for name, family in FAMILIES.items()},
}


def _options(group: ChannelGroup, multiple: int, least_share: float) -> tuple[int, ...]:
    # Directions that choose their own units are kernels of their own, each in whole blocks.
    runs = group.sub_groups
    step = multiple * runs if group.free_runs else math.lcm(multiple, runs)
    least = max(step, least_share * group.channels)
    return (*(w for w in range(step, group.channels, step) if w >= least), group.channels)


def _lost(group: ChannelGroup, scores: Tensor, options: Sequence[int]) -> dict[int, float]:
    ascending = torch.sort(unit_scores(group, scores.double())).values
    cumulative = torch.cat([torch.zeros(1, dtype=torch.double), ascending.cumsum(0)])
    return {w: float(cumulative[(group.channels - w) // group.sub_groups]) for w in options}


def _cheapest_step(
    choice: Choices, latency: Latency, widths: Widths, target_ms: float
) -> Widths | None:
    present_ms, present_lost = latency.predict_ms(widths), choice.total_lost(widths)

    def price(step: Widths) -> float:
        # What is saved beyond the target is worth nothing.
        saved_ms = present_ms - max(latency.predict_ms(step), target_ms)
        return (choice.total_lost(step) - present_lost) / saved_ms if saved_ms > 0 else math.inf

    priced = [(price(step), index, step) for index, step in enumerate(choice.narrower(widths))]
    if not priced:
        return None
    cheapest, _, step = min(priced, key=lambda item: item[:2])
    return step if cheapest < math.inf else _cheapest_on_plateau(choice, widths)


def _descent(choice: Choices, latency: Latency) -> Descent | None:
    """The same steps by arrays; None of a latency that is not told in terms of layers."""
    terms = latency.terms() if isinstance(latency, InTerms) else None
    return None if terms is None else Descent(terms, choice, choice.widest())


def _step_of(descent: Descent, choice: Choices, target_ms: float) -> Widths | None:
    step = descent.cheapest(target_ms)
    widths = _cheapest_on_plateau(choice, descent.widths) if step is None else descent.widths | step
    if widths is not None:
        descent.go(widths)
    return widths


def _cheapest_on_plateau(choice: Choices, widths: Widths) -> Widths | None:
    """Where no single step is predicted to save time: the one that loses least a channel."""
    return min(
        _next_steps(choice, widths),
        key=lambda step: _lost_per_channel(choice, widths, step),
        default=None,
    )


def _next_steps(choice: Choices, widths: Widths) -> Iterator[Widths]:
    for step in choice.narrower(widths, adjacent=True):
        if all(step[name] or not widths[name] for name in widths):
            yield step


def _lost_per_channel(choice: Choices, widths: Widths, step: Widths) -> float:
    channels = sum(widths.values()) - sum(step.values())
    return (choice.total_lost(step) - choice.total_lost(widths)) / channels


def _exchange(choice: Choices, latency: Latency, widths: Widths, target_ms: float) -> Widths:
    """Go up somewhere, and down elsewhere if need be, while that loses less importance."""
    path = [widths]
    for _ in range(MAX_EXCHANGES):
        better = _better_neighbour(choice, latency, path[-1], target_ms)
        if better is None:
            break
        path.append(better)
    assert all(choice.total_lost(b) < choice.total_lost(a) for a, b in pairwise(path))
    return path[-1]


def _better_neighbour(
    choice: Choices, latency: Latency, widths: Widths, target_ms: float
) -> Widths | None:
    """Of all exchanges that are fast enough the one that loses least, if less than `widths`."""
    most = choice.total_lost(widths) * (1 - 1e-9)
    terms = latency.terms() if isinstance(latency, InTerms) else None
    if terms is not None:
        return better_exchange(
            choice, terms, widths, most=most, target_ms=target_ms, predict_ms=latency.predict_ms
        )
    cheaper = [exchange for exchange in _exchanges(choice, widths) if exchange[0] < most]
    # The first that is fast enough is it, so the fewest latencies are asked for.
    for _, grown, step in sorted(cheaper, key=itemgetter(0)):
        candidate = grown | step
        if choice.total_lost(candidate) < most and latency.predict_ms(candidate) <= target_ms:
            return candidate
    return None


def _exchanges(choice: Choices, widths: Widths) -> Iterator[tuple[float, Widths, Step]]:
    """Importance lost by each way to go up and perhaps down elsewhere, where up, and the rest."""
    for grown in choice.wider(widths):
        lost = choice.total_lost(grown)
        yield lost, grown, {}
        for step in choice.steps_down(grown):
            yield choice.lost_after(grown, lost, step), grown, step
