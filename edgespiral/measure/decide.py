"""Sampling until a latency is known to meet or to miss what it is held to.

The one place that does so: for the spiral's turns, for `measure --latency-ms` and for the gate.
Looks are fixed before the first sample, each adds samples to those of the looks before it, and its
interval is so sure that all of them together keep the error rate (`core.intervals.Looks`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from edgespiral.core.errors import MeasurementError, UsageError
from edgespiral.core.records.measurement import Verdict
from edgespiral.core.statistics.intervals import Looks, least_count, round_medians, sign_median
from edgespiral.core.statistics.stats import largest_known, paired_ratio, summarise, verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from edgespiral.core.records.measurement import Measurement, Ratio
    from edgespiral.measure.fleet import Fleet
    from edgespiral.measure.session import Session

L = TypeVar("L")

# Each look adds this many times the rounds of the profile.
LOOKS = (1, 2, 6)
# What must stay the same from one measuring process to the next.
STEADY = ("governor", "power_mode")


def until_decided(
    looks: Iterable[L], take: Callable[[L], bool], is_open: Callable[[], bool]
) -> None:
    """Take samples look by look while the question is open.

    Args:
        looks: what each look is to add, in order.
        take: adds it; False where it could not, which ends the sampling.
        is_open: whether the samples so far leave the question open.
    """
    for look in looks:
        if not take(look) or not is_open():
            return


@dataclass(frozen=True)
class Paired:
    """A model measured in turns with a reference, in one measuring process or several."""

    reference: Measurement
    subject: Measurement

    @property
    def speedup(self) -> Ratio:
        """How many times as fast as the reference the subject is."""
        return paired_ratio(self.reference.rounds_ms, self.subject.rounds_ms)

    def with_more(self, more: Paired) -> Paired:
        """These samples and those of another process.

        Raises:
            MeasurementError: as `merged`.
        """
        return Paired(merged(self.reference, more.reference), merged(self.subject, more.subject))


def decide(
    session: Session, models: Sequence[Path], latency_ms: float
) -> list[tuple[Measurement, Verdict]]:
    """Measure `models` until each is known to meet or to miss a median of `latency_ms`.

    Raises:
        UsageError: the budget is not a positive number.
        MeasurementError: a verdict is still open after the last look, or as `Session.measure`.
        ModelError, TargetError: as `Session.measure`.
    """
    if not 0 < latency_ms < float("inf"):
        raise UsageError(f"must be a positive number, is {latency_ms:g}", where="--latency-ms")
    confidence = Looks(len(LOOKS)).confidence
    first = max(session.profile.measure.rounds, least_count(confidence))
    samples: list[Measurement] = []

    def take(times: int) -> bool:
        more = session.measure(models, rounds=times * first)
        pairs = zip(samples, more, strict=True) if samples else ()
        samples[:] = [merged(*pair) for pair in pairs] or more
        return True

    def verdicts() -> list[Verdict]:
        medians = [round_medians(measurement.rounds_ms) for measurement in samples]
        return [verdict(sign_median(each, confidence), latency_ms) for each in medians]

    until_decided(LOOKS, take, lambda: Verdict.UNDECIDED in verdicts())
    decided = verdicts()
    if Verdict.UNDECIDED in decided:
        position = decided.index(Verdict.UNDECIDED)
        raise _undecided(models[position], samples[position], latency_ms)
    return list(zip(samples, decided, strict=True))


def compare_until_decided(
    fleet: Fleet,
    reference: Path,
    subject: Path,
    looks: Sequence[int],
    is_open: Callable[[Sequence[Paired], float], bool],
) -> list[Paired]:
    """Measure a model in turns with its reference on every device while the question is open.

    Args:
        fleet: the devices.
        reference: an ONNX file that takes turns with `subject`.
        subject: the ONNX file in question.
        looks: the rounds that each look adds.
        is_open: whether pairs, one a device in the fleet's order, leave the question open at a
            confidence (0 to 1) that keeps the error rate over all looks.

    Raises:
        ModelError, TargetError, MeasurementError: as `Session.measure`; or a device's governor or
            power mode, or a file, changed between two looks.
    """
    confidence = Looks(len(looks)).confidence
    pairs: list[Paired] = []

    def take(rounds: int) -> bool:
        more = fleet.each(
            lambda _, session: Paired(*session.measure([reference, subject], rounds=rounds))
        )
        grown = zip(pairs, more, strict=True) if pairs else ()
        pairs[:] = [old.with_more(new) for old, new in grown] or more
        return True

    until_decided(looks, take, lambda: is_open(pairs, confidence))
    return pairs


def merged(old: Measurement, new: Measurement) -> Measurement:
    """The samples of two processes that measured one model, as one measurement.

    Raises:
        MeasurementError: the governor, the power mode or the model's file changed in between.
    """
    if old.model_sha256 != new.model_sha256:
        raise MeasurementError("the model's file changed between two measurements of it")
    for name in STEADY:
        was, now = getattr(old.fingerprint, name), getattr(new.fingerprint, name)
        if was != now:
            raise MeasurementError(f"the {name.replace('_', ' ')} changed from {was} to {now}")
    rounds_ms = (*old.rounds_ms, *new.rounds_ms)
    after = {"temperature_after_c", "frequency_after_mhz"}
    ended = new.fingerprint.model_dump(include=after)
    return new.model_copy(
        update={
            "stats": summarise(rounds_ms),
            "rounds_ms": rounds_ms,
            "warmup_count": old.warmup_count + new.warmup_count,
            "waited_share": largest_known([old.waited_share, new.waited_share]),
            "fingerprint": old.fingerprint.model_copy(update=ended),
        }
    )


def _undecided(model: Path, measurement: Measurement, latency_ms: float) -> MeasurementError:
    interval, count = measurement.stats.p50_ci95_ms, measurement.stats.count
    return MeasurementError(
        f"undecided after {count} samples: {interval.low:.4g} to {interval.high:.4g} ms lies "
        f"around {latency_ms:g} ms",
        where=str(model),
        hint="stop other programs on the device, or ask for a budget further off",
    )
