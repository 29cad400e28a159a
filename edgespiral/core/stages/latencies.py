"""Records of what runs around a network: its stages, and the whole of a frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from edgespiral.core.errors import MeasurementError
from edgespiral.core.records.measurement import LatencyStats
from edgespiral.core.records.schema import Record, Told
from edgespiral.core.statistics.stats import summarise, summed

if TYPE_CHECKING:
    from collections.abc import Sequence

Stage = Literal["decode", "preprocess", "postprocess"]
Rounds = tuple[tuple[float, ...], ...]


class StageLatency(Record):
    """What one stage takes for a frame, `rounds_ms[round][sample]`, or why that is not known.

    `what` says what it does, and `by` by what it was run there.
    """

    stage: Stage
    what: Told
    by: Told = ""
    stats: LatencyStats | None = None
    rounds_ms: Rounds = ()
    refused: Told | None = None


class Stages(Record):
    """The stages around a network on one target; `frame` is the sample that they were timed on.

    `sum` is that of all of them, None where one is not known, and of none there is none.
    """

    target: Told
    frame: Told
    each: tuple[StageLatency, ...] = Field(min_length=1)
    sum: LatencyStats | None = None

    @classmethod
    def of(cls, target: str, frame: str, each: Sequence[StageLatency]) -> Stages:
        """The stages with their sum."""
        rounds = _together([stage.rounds_ms for stage in each])
        total = summarise(rounds) if rounds else None
        return cls(target=target, frame=frame, each=tuple(each), sum=total)

    @property
    def most_ms(self) -> float:
        """What they take at most, the upper end of the interval of their median.

        Raises:
            MeasurementError: one of them could not be measured.
        """
        if self.sum is not None:
            return self.sum.p50_ci95_ms.high
        unknown = next(stage for stage in self.each if stage.refused is not None)
        raise MeasurementError(
            f"{unknown.stage} could not be measured there, so nothing is known of the whole: "
            f"{unknown.refused}",
            where=self.target,
            hint="take --timed network, or a target that runs it",
        )

    def with_network(self, rounds_ms: Rounds) -> LatencyStats | None:
        """The whole of a frame, given a network's samples; None where a stage is not known."""
        rounds = _together([*(stage.rounds_ms for stage in self.each), rounds_ms])
        return summarise(rounds) if rounds else None


def _together(parts: Sequence[Rounds]) -> Rounds:
    """Samples of what runs one after another; none where one of the parts has none.

    Parts were measured apart, so as many rounds count as the part with the fewest has. Of a round
    of a short part, samples from all over it count: the first ones are slower.
    """
    fewest = min(map(len, parts))
    if not fewest:
        return ()
    counts = [min(map(len, sides)) for sides in zip(*parts, strict=False)]
    return summed(
        [
            (1, [_spread(samples, count) for samples, count in zip(part, counts, strict=False)])
            for part in parts
        ]
    )


def _spread(samples: Sequence[float], count: int) -> list[float]:
    """So many samples at even distances."""
    return [samples[place * len(samples) // count] for place in range(count)]
