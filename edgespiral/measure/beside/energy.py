"""The energy that a device takes for an inference, beyond what it takes when idle."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from edgespiral.core.errors import MeasurementError
from edgespiral.core.records.footprint import Energy
from edgespiral.measure.model_files import timed_files

if TYPE_CHECKING:
    from pathlib import Path

    from edgespiral.measure.runtimes.base import Spent
    from edgespiral.measure.session import Session

PROCESSES, ROUNDS = 3, 5
# How long a model runs in each: counters move in steps of milliseconds.
SECONDS = 0.5
UNTOLD = "its runtime does not tell"


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


def _inference_mj(spent: Spent) -> float:
    """Of one inference, without what the device would have taken anyway."""
    return 1e3 * (spent.joules - spent.idle_watts * spent.seconds) / spent.inferences
