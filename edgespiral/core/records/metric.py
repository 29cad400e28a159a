"""The figure that a task is judged by: what it is called, its unit, and which way is better."""

from __future__ import annotations

import math

from pydantic import Field

from edgespiral.core.records.schema import Line, Record, Score

# Of sums of shares.
ROUNDING = 1e-6


class Metric(Record):
    """What scores of a task are.

    Attributes:
        name: such as `accuracy`.
        unit: such as `%`; empty where there is none.
        higher_is_better: false for errors.

    Example:
        >>> Metric(name="mIoU").text(71.25)
        '71.25 %'
    """

    name: Line = Field(min_length=1)
    unit: Line = "%"
    higher_is_better: bool = True

    @property
    def is_share(self) -> bool:
        """Whether scores are percentages, from 0 to 100 and higher for better."""
        return self.unit == "%" and self.higher_is_better

    def require_possible(self, score: float) -> None:
        """Refuse a percentage that cannot be: of what is right, or of errors, below 0 or above 100.

        Errors may be more than 100 %, as a word error rate is that counts what was put in.

        Raises:
            ValueError: so it is.

        Example:
            >>> Metric(name="WER", higher_is_better=False).require_possible(104.0)
        """
        most = 100.0 if self.is_share else math.inf
        if self.unit == "%" and not -ROUNDING <= score <= most + ROUNDING:
            bounds = "be from 0 to 100 %" if self.is_share else "not be below 0 %"
            raise ValueError(f"{self.named(score)}, which must {bounds}")

    @property
    def difference_unit(self) -> str:
        """What differences of two scores are counted in."""
        return "points" if self.unit == "%" else self.unit

    @property
    def label(self) -> str:
        """The name with the unit, as a table's heading has it."""
        return f"{self.name} {self.unit}".strip()

    def text(self, score: float, decimals: int = 2) -> str:
        """A score with its unit."""
        return f"{score:.{decimals}f} {self.unit}".strip()

    def named(self, score: float) -> str:
        """A score with its name and unit, as in `accuracy 91.20 %`."""
        return f"{self.name} {self.text(score)}"

    def difference(self, before: float, after: float) -> str:
        """The change from one score to another with its sign and unit."""
        return f"{after - before:+.2f} {self.difference_unit}".strip()

    def lost(self, before: float, after: float) -> float:
        """By how much `after` is worse than `before`; below 0 where it is better."""
        return before - after if self.higher_is_better else after - before

    def floor(self, reference: float, max_drop: float) -> float:
        """The worst score that loses no more than `max_drop` against `reference`.

        Args:
            reference: a score, in the metric's unit.
            max_drop: how much worse it may get, in `difference_unit`.

        Example:
            >>> Metric(name="accuracy").floor(40.0, 50.0)
            0.0
        """
        if not self.higher_is_better:
            return reference + max_drop
        return max(reference - max_drop, 0.0) if self.is_share else reference - max_drop

    def holds(self, score: float, floor: float) -> bool:
        """Whether a score is not worse than `floor`."""
        return score >= floor if self.higher_is_better else score <= floor

    def rank(self, score: float) -> float:
        """A number that is larger for better scores."""
        return score if self.higher_is_better else -score


class Figure(Record):
    """A score that is reported beside that of a run's metric, and steers nothing.

    Example:
        >>> Figure(metric=Metric(name="macro F1"), value=88.5).text
        'macro F1 88.50 %'
    """

    metric: Metric
    value: Score

    @property
    def text(self) -> str:
        """The figure with its name and unit."""
        return self.metric.named(self.value)
