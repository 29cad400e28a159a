"""Going up in one place of a cut and down in another, all such pairs at once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from edgespiral.spiral.planning.stepping.moves import Moves, latencies_after_both

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from edgespiral.core.records.widths import Widths
    from edgespiral.spiral.planning.stepping.choices import Choices, Step
    from edgespiral.spiral.planning.stepping.terms import LatencyTerms

NOTHING: Step = {}


def better_exchange(
    choice: Choices,
    devices: Sequence[LatencyTerms],
    widths: Widths,
    *,
    most: float,
    target_ms: float,
    predict_ms: Callable[[Mapping[str, int]], float],
) -> Widths | None:
    """Of all exchanges that take `target_ms` or less the one that loses least, if below `most`.

    Args:
        choice: the widths that may be chosen, and what they lose.
        devices: the latency of each; the slowest decides.
        widths: where to go from.
        predict_ms: the latency of what is chosen, which rounding may put on the other side.
    """
    lost = choice.total_lost(widths)
    lost_by_ups, up_steps = zip((lost, NOTHING), *_ups(choice, widths, lost), strict=True)
    down_steps = [NOTHING, *choice.steps_down(widths)]
    ups, downs = Moves(widths, up_steps), Moves(widths, down_steps)
    lost_by_downs = [choice.lost_after(widths, lost, step) if step else lost for step in down_steps]
    losses = np.array(lost_by_ups)[:, None] + (np.array(lost_by_downs) - lost)[None, :]
    fits = (latencies_after_both(devices, ups, downs) <= target_ms) & (losses < most)
    losses[~fits] = math.inf
    while (place := int(losses.argmin())) >= 0 and losses.flat[place] < math.inf:
        up, down = divmod(place, len(downs))
        candidate = widths | ups.moves[up] | downs.moves[down]
        if choice.total_lost(candidate) < most and predict_ms(candidate) <= target_ms:
            return candidate
        losses.flat[place] = math.inf
    return None


def _ups(choice: Choices, widths: Widths, lost: float) -> Iterator[tuple[float, Step]]:
    """What `Choices.wider` leads to, as changes, each with what is lost by then.

    A branch comes back with any one of its groups narrower, too.
    """
    for name, width in widths.items():
        for option in choice.options[name]:
            if option > width > 0:
                yield choice.lost_after(widths, lost, {name: option}), {name: option}
    gone = choice.gone(widths).values()
    for groups in gone:
        if any(set(groups) < set(outer) for outer in gone):
            continue
        narrow = {name: choice.options[name][0] for name in groups}
        yield choice.total_lost(widths | narrow), narrow
        whole = {name: choice.options[name][-1] for name in groups}
        lost_whole = choice.total_lost(widths | whole)
        yield lost_whole, whole
        for name, width in whole.items():
            own = choice.lost[name]
            for option in choice.options[name][:-1]:
                yield lost_whole + own[option] - own[width], whole | {name: option}
