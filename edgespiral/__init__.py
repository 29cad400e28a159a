"""Compress a trained PyTorch model until it measurably meets a latency budget on its device.

Everything that a program needs is here: `compress` and what it takes and returns, `explore` for
what it would cost, the single steps (`train_teacher`, `export_model`, `measure_models`,
`load_model`), measuring by hand (`Session`, `load_profile`), and every error that is raised on
purpose (`EdgeSpiralError` and its tree).

Importing the package loads neither PyTorch nor ONNX Runtime; they come with the first use.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING

from edgespiral.core.system.versions import __version__

if TYPE_CHECKING:
    from edgespiral.api import (
        Compressed,
        compress,
        export_model,
        load_model,
        measure_models,
        train_teacher,
    )
    from edgespiral.core.batches import BatchSource, DataSplits
    from edgespiral.core.errors import (
        BrokenInstallError,
        DataError,
        DivergedError,
        EdgeSpiralError,
        ExportError,
        MeasurementError,
        MissingExtraError,
        ModelError,
        NothingToCutError,
        ProcessLostError,
        RunFolderError,
        TargetError,
        TrainingError,
        UndecidedError,
        UsageError,
    )
    from edgespiral.core.listener import Listener, TrainingProgress
    from edgespiral.core.records.comparing.exploration import Exploration
    from edgespiral.core.records.exported import Parity
    from edgespiral.core.records.measurement import (
        Measurement,
    )
    from edgespiral.core.records.metric import Metric
    from edgespiral.core.records.result import Result
    from edgespiral.distill.losses import Batch
    from edgespiral.distill.own_training import TrainingJob, TrainingStep
    from edgespiral.measure.profile import TargetProfile, load_profile
    from edgespiral.measure.session import Session
    from edgespiral.spiral.cutting import CutFacts, cut
    from edgespiral.spiral.exploring.in_python import Explored, explore
    from edgespiral.spiral.plan import Plan
    from edgespiral.tasks.base import Task
    from edgespiral.teacher import TrainedTeacher

# Before ONNX Runtime is loaded, here or in a process that inherits this: it would send what it
# learns of the machine, keep an identity of it and write through links in the temporary folder.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

__all__ = [
    "Batch",
    "BatchSource",
    "BrokenInstallError",
    "Compressed",
    "CutFacts",
    "DataError",
    "DataSplits",
    "DivergedError",
    "EdgeSpiralError",
    "Exploration",
    "Explored",
    "ExportError",
    "Listener",
    "Measurement",
    "MeasurementError",
    "Metric",
    "MissingExtraError",
    "ModelError",
    "NothingToCutError",
    "Parity",
    "Plan",
    "ProcessLostError",
    "Result",
    "RunFolderError",
    "Session",
    "TargetError",
    "TargetProfile",
    "Task",
    "TrainedTeacher",
    "TrainingError",
    "TrainingJob",
    "TrainingProgress",
    "TrainingStep",
    "UndecidedError",
    "UsageError",
    "__version__",
    "compress",
    "cut",
    "explore",
    "export_model",
    "load_model",
    "load_profile",
    "measure_models",
    "train_teacher",
]

_ERRORS = "core.errors"
_HOMES = {
    "Batch": "distill.losses",
    "BatchSource": "core.batches",
    "CutFacts": "spiral.cutting",
    "DataSplits": "core.batches",
    "Exploration": "core.records.comparing.exploration",
    "Explored": "spiral.exploring.in_python",
    "Listener": "core.listener",
    "Measurement": "core.records.measurement",
    "Metric": "core.records.metric",
    "Parity": "core.records.exported",
    "Plan": "spiral.plan",
    "Result": "core.records.result",
    "Session": "measure.session",
    "TargetProfile": "measure.profile",
    "Task": "tasks.base",
    "TrainedTeacher": "teacher",
    "TrainingJob": "distill.own_training",
    "TrainingProgress": "core.listener",
    "TrainingStep": "distill.own_training",
    "cut": "spiral.cutting",
    "explore": "spiral.exploring.in_python",
    "load_profile": "measure.profile",
}


def __getattr__(name: str) -> object:
    # Lazy, because the functions need PyTorch and `edgespiral --help` does not (PEP 562). None of
    # them is named like a subpackage, whose import would take its name's place.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _HOMES.get(name, _ERRORS if name.endswith("Error") else "api")
    return getattr(importlib.import_module(f"edgespiral.{home}"), name)


def __dir__() -> list[str]:
    return __all__
