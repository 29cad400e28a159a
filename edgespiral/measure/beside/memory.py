"""The memory of the process that runs a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.core.errors import MeasurementError
from edgespiral.core.system.temporary import work_folder
from edgespiral.measure.tiny import write_tiny_model, write_tiny_module

if TYPE_CHECKING:
    from pathlib import Path

    from edgespiral.measure.session import Session

# The least that a measurement may have.
PROCESSES, ROUNDS = 3, 5


def peak_memory_mib(session: Session, model: Path) -> float:
    """The most memory, in MiB, that the process which runs `model` alone has resident.

    It is the most of several processes, as pages are counted where a system happens to keep
    them. Runtime and interpreter are part of it; memory of an accelerator's own is not.

    Raises:
        ModelError: the model is missing, or cannot be loaded or run.
        TargetError: the device cannot be used.
        MeasurementError: the device does not tell it; no answer, or none to be trusted.
    """
    peaks_mib = [
        session.measure([model], rounds=ROUNDS)[0].peak_memory_mib for _ in range(PROCESSES)
    ]
    told_mib = [peak_mib for peak_mib in peaks_mib if peak_mib]
    if len(told_mib) < len(peaks_mib):
        profile = session.profile
        raise MeasurementError(
            f"this target does not tell how much memory {profile.runtime.kind} takes",
            where=profile.name,
            hint="leave memory_mib out, or choose a runtime that docs/measuring.md says tells",
        )
    return max(told_mib)


def least_memory_mib(session: Session) -> float:
    """What `peak_memory_mib` tells of a tiny model: runtime and interpreter take it all.

    Raises:
        ModelError, TargetError, MeasurementError: as `peak_memory_mib`.
    """
    with work_folder() as folder:
        tiny = write_tiny_model(folder / "tiny.onnx")
        write_tiny_module(folder)
        return peak_memory_mib(session, tiny)
