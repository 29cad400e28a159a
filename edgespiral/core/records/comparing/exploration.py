"""`exploration.json`: what cuts to several latencies would lose, before any is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from edgespiral.core.errors import RunFolderError, UsageError
from edgespiral.core.records.events import OnDevice, TrainedCut
from edgespiral.core.records.measurement import Interval, Measurement
from edgespiral.core.records.metric import Metric
from edgespiral.core.records.schema import Line, PositiveMs, Precision, Record, Score
from edgespiral.core.system.files import read_bytes

if TYPE_CHECKING:
    from pathlib import Path

EXPLORATION = "exploration.json"


class Estimate(Record):
    """A predicted loss of the metric, and its 95 % prediction interval.

    Without an interval where fewer than three trained cuts carry it.
    """

    value: float
    ci95: Interval | None = None


class Point(Record):
    """A cut that was built and timed, numbered from 1, the slowest first.

    Attributes:
        latency_ms: median in the first target's time; its interval is that of the speed-up.
        devices: the cut on each target, in pairs with the teacher.
        speedups: that a run which starts from here asks for, by target.
        divergence_nats: mean divergence of its outputs from the teacher's, with nothing trained.
        weight_share: of the teacher's weights, those that it keeps.
        loss_nats: what training is predicted to leave of it, in a unit that orders cuts.
        predicted_drop: of the metric, where finished runs say what a nat costs.
        on_front: whether no other point is both as fast and predicted to lose less.
        knee: whether it is a sharp corner of the front, beyond which speed costs more.
        next_tenth_nats: what 10 % more speed would add to `loss_nats`, along the front; None where
            no cut was found that is so fast, or off the front.
    """

    number: int = Field(ge=1)
    target_ms: PositiveMs
    latency_ms: PositiveMs
    latency_ci95_ms: Interval
    widths: dict[str, int]
    devices: tuple[OnDevice, ...] = Field(min_length=1)
    speedups: dict[str, Annotated[float, Field(gt=0)]]
    divergence_nats: float = Field(ge=0)
    weight_share: float = Field(gt=0, le=1)
    loss_nats: float = Field(ge=0)
    predicted_drop: Estimate | None = None
    on_front: bool
    knee: bool = False
    next_tenth_nats: float | None = None

    @model_validator(mode="after")
    def _interval_holds_latency(self) -> Self:
        self.latency_ci95_ms.require_around(self.latency_ms, "latency_ms")
        return self


class Exploration(Record):
    """The trade-off of one teacher on its devices.

    `plan` is what was asked for, as a run's is, and so is `said`; `teacher` the teacher on each
    target.
    `out_of_reach_ms` are the latencies that no cut of one turn reaches.
    """

    schema_version: Literal[1] = 1
    plan: dict[str, object]
    said: tuple[Line, ...] | None = None
    teacher_sha256: str
    metric: Metric
    teacher_score: Score
    teacher: tuple[Measurement, ...] = Field(min_length=1)
    precision: Precision
    start_ms: PositiveMs
    points: tuple[Point, ...]
    out_of_reach_ms: tuple[PositiveMs, ...] = ()
    calibrated_on: tuple[TrainedCut, ...] = ()
    complete: bool
    command: str

    @model_validator(mode="after")
    def _score_can_be(self) -> Self:
        self.metric.require_possible(self.teacher_score)
        return self

    def point(self, number: int) -> Point:
        """The point of that number.

        Raises:
            UsageError: there is none.
        """
        for point in self.points:
            if point.number == number:
                return point
        raise UsageError(
            f"there is no point {number}, the last is {len(self.points)}", where="--point"
        )


def read_exploration(folder: Path) -> Exploration:
    """What `edgespiral explore` left in `folder`.

    Raises:
        RunFolderError: there is nothing of the kind, or it is damaged.
    """
    path = folder / EXPLORATION
    try:
        return Exploration.model_validate_json(read_bytes(path))
    except OSError as error:
        raise RunFolderError(
            f"cannot be read: {error.strerror}",
            where=str(path),
            hint="name the folder of a finished `edgespiral explore`",
        ) from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise RunFolderError(
            f"damaged: {f'{key}: ' if key else ''}{first['msg'].removeprefix('Value error, ')}",
            where=str(path),
            hint="explore again with --resume, which writes it anew",
        ) from error
