"""Records of what runs around a network: its stages, and the whole of a frame."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from edgespiral.core.errors import MeasurementError
from edgespiral.core.records.measurement import LatencyStats
from edgespiral.core.records.schema import Printable, Record
from edgespiral.core.statistics.stats import summarise, summed

if TYPE_CHECKING:
    from collections.abc import Sequence

# A latency is above 0; this stands for none, and ends a run before anything is planned.
NOTHING_LEFT_MS = 1e-6
Stage = Literal["decode", "preprocess", "postprocess"]
Rounds = tuple[tuple[float, ...], ...]


class StageLatency(Record):
    """What one stage takes for a frame, `rounds_ms[round][sample]`, or why that is not known.

    `what` says what it does, and `by` by what it was run there.
    """

    stage: Stage
    what: Printable
    by: Printable = ""
    stats: LatencyStats | None = None
    rounds_ms: Rounds = ()
    refused: Printable | None = None

    @model_validator(mode="after")
    def _is_known_or_refused(self) -> Self:
        if (self.stats is None) == (self.refused is None):
            raise ValueError(f"{self.stage} has either a figure or a reason why there is none")
        if self.stats is not None:
            self.stats.require_of(self.rounds_ms)
        return self


class Stages(Record):
    """The stages around a network on one target; `frame` is the sample that they were timed on.

    `sum` is that of all of them, None where one is not known, and of none there is none.
    """

    target: Printable
    frame: Printable
    each: tuple[StageLatency, ...] = Field(min_length=1)
    sum: LatencyStats | None = None

    @classmethod
    def of(cls, target: str, frame: str, each: Sequence[StageLatency]) -> Stages:
        """The stages with their sum."""
        total = _figures(_together([stage.rounds_ms for stage in each]))
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

    @model_validator(mode="after")
    def _sum_is_of_stages(self) -> Self:
        rounds_ms = _together([stage.rounds_ms for stage in self.each])
        if (self.sum is None) == bool(rounds_ms):
            raise ValueError("the sum of stages is there exactly where all are known")
        if self.sum is not None:
            self.sum.require_of(rounds_ms)
        return self

    def require_whole(self, whole: LatencyStats, rounds_ms: Rounds) -> None:
        """Refuse the figures of a frame that are not those of these stages and a network's samples.

        Raises:
            ValueError: so they are not.
        """
        whole.require_of(_together([*(stage.rounds_ms for stage in self.each), rounds_ms]))

    def with_network(self, rounds_ms: Rounds) -> LatencyStats | None:
        """The whole of a frame, given a network's samples; None where a stage is not known."""
        return _figures(_together([*(stage.rounds_ms for stage in self.each), rounds_ms]))


def network_ms(whole_ms: float, around_ms: float) -> float:
    """What is left for a network of the time for a frame.

    Args:
        whole_ms: that time.
        around_ms: what other stages take of it.
    """
    return max(whole_ms - around_ms, NOTHING_LEFT_MS)


def _together(parts: Sequence[Rounds]) -> Rounds:
    """Rounds of one sample, the sum of what parts take that run one after another; none if unknown.

    A part has its median of a round: parts were measured apart, and a sample that something else
    interrupted would have its like in each of them. As many rounds count as the part with the
    fewest has.
    """
    fewest = min(map(len, parts))
    medians = [[[median(samples)] for samples in rounds_ms[:fewest]] for rounds_ms in parts]
    return summed([(1, rounds_ms) for rounds_ms in medians]) if fewest else ()


def _figures(rounds_ms: Rounds) -> LatencyStats | None:
    """The median and its interval; medians of rounds tell nothing of single frames beyond it."""
    if not rounds_ms:
        return None
    return summarise(rounds_ms).model_copy(update={"p90_ms": None, "p99_ms": None})
