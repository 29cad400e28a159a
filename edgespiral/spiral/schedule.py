"""How many turns, how far each goes, and how the training is shared among them."""

from __future__ import annotations

import math
from dataclasses import dataclass

# As far as one step was measured to lose no more than several (docs/allocation.md).
LARGEST_STEP = 4.0
LAST_TURN_SHARE = 2.0
SMALLEST_STEP = 1.08


@dataclass(frozen=True)
class Schedule:
    """Turns of equal ratio in latency from the teacher to the budget.

    A turn that crosses the score floor is tried again at the geometric mean of where it started
    and where it failed, until the step is too small to matter.
    """

    start_ms: float
    budget_ms: float
    turns: int
    epochs: float

    @classmethod
    def plan(cls, start_ms: float, budget_ms: float, turns: int | str, epochs: float) -> Schedule:
        """`turns` may be "auto": as few as keep each step within `LARGEST_STEP`.

        Where the start is within the budget there is no way to go in steps, so it is one turn.
        """
        distance = start_ms / budget_ms
        count = math.ceil(math.log(distance) / math.log(LARGEST_STEP) - 1e-9)
        wanted = max(1, count) if turns == "auto" else int(turns)
        return cls(start_ms, budget_ms, wanted if distance > 1 else 1, epochs)

    def target_ms(self, turn: int) -> float:
        """Latency that turn `turn` (from 1) aims at."""
        if turn >= self.turns:
            return self.budget_ms
        return self.start_ms * math.pow(self.budget_ms / self.start_ms, turn / self.turns)

    def turn_epochs(self, turn: int, target_ms: float = math.inf) -> float:
        """Distillation epochs of turn `turn`: the last turn, whose weights ship, gets double.

        So does one whose target is the budget's because steps before were longer than planned.
        """
        total = self.turns - 1 + LAST_TURN_SHARE
        is_last = turn >= self.turns or target_ms <= self.budget_ms
        return self.epochs * (LAST_TURN_SHARE if is_last else 1.0) / total


def retreat_ms(parent_ms: float, failed_ms: float) -> float | None:
    """Target of the next try after a turn to `failed_ms` cost too much; None to stop."""
    target_ms = math.sqrt(parent_ms * failed_ms)
    return target_ms if parent_ms / target_ms >= SMALLEST_STEP else None
