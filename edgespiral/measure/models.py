"""Measuring models in one call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.measure.model_files import find_model
from edgespiral.measure.profile import load_profile
from edgespiral.measure.session import Session

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edgespiral.core.records.measurement import Measurement


def measure_models(paths: Sequence[Path], target: str) -> list[Measurement]:
    """Measure ONNX files or run folders on a target, alternating between them.

    Raises:
        UsageError: there is no such target, or its file is wrong.
        ModelError, TargetError, MeasurementError: as `Session.measure`.
    """
    models = [find_model(path) for path in paths]
    with Session(load_profile(target)) as session:
        return session.measure(models)
