"""A verdict on a latency budget; while it is open, more samples are taken."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.core.errors import MeasurementError, UsageError
from edgespiral.core.records import Verdict
from edgespiral.core.stats import verdict

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edgespiral.core.records import Measurement
    from edgespiral.measure.session import Session

# Each try takes this many times the rounds of the profile.
TRIES = (1, 3, 9)


def decide(
    session: Session, models: Sequence[Path], latency_ms: float
) -> list[tuple[Measurement, Verdict]]:
    """Measure `models` until each is known to meet or to miss a median of `latency_ms`.

    Raises:
        UsageError: the budget is not a positive number.
        MeasurementError: a verdict is still open after the longest try, or as `Session.measure`.
        ModelError, TargetError: as `Session.measure`.
    """
    if not 0 < latency_ms < float("inf"):
        raise UsageError(f"must be a positive number, is {latency_ms:g}", where="--latency-ms")
    for times in TRIES:
        found = session.measure(models, rounds=times * session.profile.measure.rounds)
        verdicts = [verdict(one.stats.p50_ci95_ms, latency_ms) for one in found]
        if Verdict.UNDECIDED not in verdicts:
            return list(zip(found, verdicts, strict=True))
    position = verdicts.index(Verdict.UNDECIDED)
    stats = found[position].stats
    raise MeasurementError(
        f"undecided after {stats.count} samples: {stats.p50_ci95_ms.low:.4g} to "
        f"{stats.p50_ci95_ms.high:.4g} ms lies around {latency_ms:g} ms",
        where=str(models[position]),
        hint="stop other programs on the device, or ask for a budget further off",
    )
