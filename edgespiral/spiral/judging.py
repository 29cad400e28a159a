"""The accuracy of what ships: of the ONNX file itself, held against PyTorch's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import onnxruntime

from edgespiral.core.exported import FileEvaluation
from edgespiral.export.parity import PROVIDER, SHIPPED_BATCH, check_accuracy, file_accuracy
from edgespiral.measure.model_files import precision_of

if TYPE_CHECKING:
    from pathlib import Path

    from edgespiral.core.batches import BatchSource


@dataclass(frozen=True)
class Score:
    """An ONNX file's accuracy in percent, and how it was found."""

    accuracy: float
    evaluation: FileEvaluation


def judged(onnx: Path, source: BatchSource, *, expected: float) -> Score:
    """Score an ONNX file on all of `source`, a sample at a time, as it ships.

    All of it, however slow the model: a pass costs what PyTorch's own does, and a few hundredths of
    an epoch of training.

    Args:
        expected: accuracy of the PyTorch model that it was exported from there, in percent.

    Raises:
        ExportError: ONNX Runtime cannot run it, or it is right on other samples than the PyTorch
            model by more than rounding explains.
    """
    written = precision_of(onnx)
    accuracy = file_accuracy(onnx, source)
    check_accuracy(onnx, accuracy, expected, len(source), written)
    evaluation = FileEvaluation(
        runtime=f"ONNX Runtime {onnxruntime.__version__}",
        provider=PROVIDER,
        computed_in=written,
        batch_size=SHIPPED_BATCH,
        samples=len(source),
        pytorch_accuracy=expected,
    )
    return Score(accuracy, evaluation)
