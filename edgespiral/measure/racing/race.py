"""One model by several runtimes on one device, in turns: which is the fastest there?

Each runtime has a process of its own, since two in one would fight for its threads, and at any time
one of them runs. They take turns in short passes, in a shuffled order, so that a drift meets all.
What is beaten by far is not asked again.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from threading import Semaphore, Thread
from typing import TYPE_CHECKING

from edgespiral.core.errors import (
    EdgeSpiralError,
    ExportError,
    MeasurementError,
    MissingExtraError,
    ModelError,
    TargetError,
)
from edgespiral.core.records.measurement import Race, RaceRow
from edgespiral.core.statistics.stats import paired_ratio
from edgespiral.measure.decide import merged
from edgespiral.measure.model_files import precision_label, precision_of
from edgespiral.measure.runtimes.agent import orders
from edgespiral.measure.session import Session
from edgespiral.measure.transports.base import DeviceLostError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from edgespiral.core.records.exported import OutputParity
    from edgespiral.core.records.measurement import Measurement, Ratio
    from edgespiral.measure.racing.entrants import Entrant

    Judge = Callable[[Session, Path, str], OutputParity | None]

# As many rounds as a target's own measurement has by default.
PASSES, ROUNDS_A_PASS = 5, 5
# What another is so many times as fast as for certain, after so many passes, cannot win.
BEATEN_BY, LEAST_PASSES = 1.5, 2
# What keeps a runtime from running a model, and no other from doing so.
OWN_FAULTS = (ExportError, MeasurementError, MissingExtraError, ModelError, TargetError)


@dataclass
class _Lane:
    entrant: Entrant
    session: Session
    model: Path
    precision: str
    parity: OutputParity | None = None
    measurement: Measurement | None = None
    refused: str | None = None
    is_beaten: bool = False

    def attempt(self, step: Callable[[], None]) -> None:
        """Do a step, unless one before it failed; what fails is a row without a figure."""
        if self.refused is not None:
            return
        try:
            step()
        except DeviceLostError:
            raise
        except OWN_FAULTS as error:
            self.measurement, self.refused = None, _reason(error)

    def prepare(self, free: Semaphore) -> None:
        """Have the model converted while `free` lets it; what no row can tell is met again."""
        with free, suppress(Exception):
            self.attempt(lambda: self.session.prepare([self.model]))

    def judge(self, judge: Judge) -> None:
        """Compare what it computes there with what it computes here."""
        self.parity = judge(self.session, self.model, self.precision)

    def measure(self) -> None:
        """Take the samples of one pass."""
        [more] = self.session.measure([self.model], rounds=ROUNDS_A_PASS)
        self.measurement = more if self.measurement is None else merged(self.measurement, more)


def race(
    model: Path,
    entrants: Sequence[Entrant],
    judge: Judge,
    *,
    samples: str,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    passes: int = PASSES,
) -> Race:
    """Time a model by each entrant, once what it computes there was judged.

    Args:
        model: an ONNX file.
        entrants: on one device; others are compared with the first that runs the model.
        judge: given a session there, the file that it runs and the precision that it is computed
            in, says how near its outputs are, None where the runtime does not tell, and raises an
            `ExportError` where they are too far.
        samples: what `judge` compares on, in words.
        shapes: as for `Session`.
        passes: turns that each has, of `ROUNDS_A_PASS` rounds; fewer where another is
            `BEATEN_BY` times as fast for certain.

    Raises:
        MeasurementError: none runs the model.
        UsageError, TargetError: as `Session.measure`, where it is the request or the device.
    """
    with ExitStack() as opened:
        lanes = []
        for entrant in entrants:
            session = opened.enter_context(Session(entrant.profile, shapes=shapes))
            file = entrant.file or model
            written = precision_label(file, precision_of(file))
            precision = entrant.precision if written == "fp32" else written
            lanes.append(_Lane(entrant, session, file, precision))
        _prepare(lanes)
        for lane in lanes:
            lane.attempt(partial(lane.judge, judge))
        for done, order in enumerate(orders(len(lanes), passes)):
            if done >= LEAST_PASSES:
                _leave_out_beaten(lanes)
            for index in order:
                if not lanes[index].is_beaten:
                    lanes[index].attempt(lanes[index].measure)
    return _result(lanes, model, samples)


def _prepare(lanes: Sequence[_Lane]) -> None:
    """Have all models converted at the same time, as long as nothing is timed.

    By daemons, so that Ctrl-C ends the program without them.
    """
    free = Semaphore(os.cpu_count() or 1)
    threads = [Thread(target=lane.prepare, args=(free,), daemon=True) for lane in lanes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _leave_out_beaten(lanes: Sequence[_Lane]) -> None:
    """Let who is beaten by far take no more turns, but for the one that all are compared with."""
    timed = [
        (lane, lane.measurement)
        for lane in lanes
        if lane.measurement is not None and not lane.is_beaten
    ]
    if not timed:
        return
    fastest = min((own for _, own in timed), key=lambda own: own.stats.p50_ms)
    for lane, own in timed[1:]:
        ahead = paired_ratio(own.rounds_ms, fastest.rounds_ms)
        lane.is_beaten = ahead.ci95.low > BEATEN_BY


def ratio_in_turns(reference: Measurement, subject: Measurement) -> Ratio:
    """How many times as fast a subject is, by the rounds that both took.

    Who is beaten by far takes fewer.
    """
    sides = reference.rounds_ms, subject.rounds_ms
    return paired_ratio(*(side[: min(map(len, sides))] for side in sides))


def _result(lanes: Sequence[_Lane], model: Path, samples: str) -> Race:
    reference = next((lane.measurement for lane in lanes if lane.measurement is not None), None)
    if reference is None:
        reasons = "; ".join(
            f"{lane.entrant.profile.runtime.kind}: {lane.refused}" for lane in lanes
        )
        raise MeasurementError(f"no runtime runs it: {reasons}", where=str(model))
    rows = sorted((_row(lane, reference) for lane in lanes), key=_latency_ms)
    faster = [at for at, row in enumerate(rows) if row.speedup and row.speedup.ci95.low > 1]
    place = next(at for at, row in enumerate(rows) if row.measurement is reference)
    return Race(
        target=lanes[0].entrant.profile.name,
        model=str(model),
        samples=samples,
        rows=tuple(rows),
        reference=place,
        winner=faster[0] if faster else place,
    )


def _row(lane: _Lane, reference: Measurement) -> RaceRow:
    measurement = lane.measurement
    speedup = None
    if measurement is not None and measurement is not reference:
        speedup = ratio_in_turns(reference, measurement)
    return RaceRow(
        runtime=lane.entrant.profile.runtime.kind,
        precision=measurement.fingerprint.precision if measurement else lane.precision,
        threads=lane.entrant.threads,
        measurement=measurement,
        speedup=speedup,
        parity=lane.parity,
        refused=lane.refused,
    )


def _latency_ms(row: RaceRow) -> float:
    return float("inf") if row.measurement is None else row.measurement.stats.p50_ms


def _reason(error: EdgeSpiralError) -> str:
    return error.what if error.hint is None else f"{error.what}; {error.hint}"
