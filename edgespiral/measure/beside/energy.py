"""The energy that a device takes for an inference, beyond what it takes when idle."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from edgespiral.core.errors import MeasurementError
from edgespiral.core.records.footprint import Energy
from edgespiral.core.statistics.stats import summarise
from edgespiral.measure.model_files import timed_files

if TYPE_CHECKING:
    from pathlib import Path

    from edgespiral.measure.runtimes.base import Samples, Spent
    from edgespiral.measure.session import Session

PROCESSES, ROUNDS = 3, 5
# How long a model runs in each: counters move in steps of milliseconds.
SECONDS = 0.5
UNTOLD = "its runtime does not tell"
# How much longer or shorter inferences may be in the loop that tells energy than in the rounds.
APART = 10.0
# More than a machine takes, whatever its size.
MOST_WATTS = 1e4


def energy_of(session: Session, model: Path) -> Energy:
    """What an inference takes, in mJ: the most of several processes.

    Of a model that names parts it is the sum of all runs of these.

    Raises:
        ModelError: the model is missing, or cannot be loaded or run.
        TargetError: the device cannot be used.
        MeasurementError: the device does not tell it, or takes no more than when it is idle; no
            answer, or none to be trusted.
    """
    return max((_once(session, model) for _ in range(PROCESSES)), key=lambda use: use.inference_mj)


def _once(session: Session, model: Path) -> Energy:
    """In one process, in which each part runs by itself."""
    files = timed_files(model)
    answer = session.timed_as_they_are(
        [file.path for file in files], rounds=ROUNDS, energy_s=SECONDS
    )
    parts_mj, spent = [], []
    for file, samples in zip(files, answer.samples, strict=True):
        if samples.energy is None:
            raise MeasurementError(
                f"this target does not tell its energy: {samples.energy_refused or UNTOLD}",
                where=session.profile.name,
                hint="leave energy_mj out; docs/measuring.md says what is read where",
            )
        _require_credible(samples, session.profile.name)
        spent.append(samples.energy)
        parts_mj.append(file.count * _inference_mj(samples.energy))
    total_mj = math.fsum(parts_mj)
    if total_mj <= 0:
        raise MeasurementError(
            f"the device takes no more energy with this model than when idle ({spent[0].source})",
            where=session.profile.name,
            hint="is something else at work on it?",
        )
    idle_watts = max(model.idle_watts for model in spent)
    return Energy(inference_mj=total_mj, idle_watts=idle_watts, source=spent[0].source)


def _require_credible(samples: Samples, target: str) -> None:
    """Refuse energy of inferences that do not take the time which this model's do.

    Raises:
        MeasurementError: it is of other inferences, or of a power that no such device takes.
    """
    spent = samples.energy
    assert spent is not None
    times_ms = [ms for own in samples.rounds_ms for ms in own]
    each_ms = 1e3 * spent.seconds / spent.inferences
    watts = max(spent.joules / spent.seconds if spent.seconds else math.inf, spent.idle_watts)
    if not min(times_ms) / APART <= each_ms <= APART * max(times_ms) or watts > MOST_WATTS:
        what = (
            f"{spent.joules:.3g} J for {spent.inferences} inferences in {spent.seconds:.3g} s, "
            f"of which one takes {summarise(samples.rounds_ms).p50_ms:.3g} ms"
        )
        raise MeasurementError(f"the device's answer is not valid: {what}", where=target)


def _inference_mj(spent: Spent) -> float:
    """Of one inference, without what the device would have taken anyway."""
    return 1e3 * (spent.joules - spent.idle_watts * spent.seconds) / spent.inferences
