"""The score of what ships: of the ONNX file itself, held against PyTorch's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import onnxruntime

from edgespiral.core.records.exported import FileEvaluation
from edgespiral.export.parity import PROVIDER, SHIPPED_BATCH, check_score
from edgespiral.measure.model_files import precision_of

if TYPE_CHECKING:
    from pathlib import Path

    from edgespiral.export.parity import FileScores


@dataclass(frozen=True)
class Score:
    """An ONNX file's score in the metric's unit, and how it was found."""

    value: float
    evaluation: FileEvaluation


def judged(onnx: Path, scores: FileScores, *, expected: float) -> Score:
    """Score an ONNX file on all of a split, a sample at a time, as it ships.

    All of it, however slow the model: a pass costs what PyTorch's own does, and a few hundredths of
    an epoch of training.

    Args:
        scores: of files on that split.
        expected: score of the PyTorch model that it was exported from there.

    Raises:
        ExportError: ONNX Runtime cannot run it, or its score is another than the PyTorch
            model's by more than rounding explains.
    """
    written = precision_of(onnx)
    score, samples = scores.of(onnx), len(scores.source)
    check_score(onnx, score, expected, samples, written, task=scores.task)
    evaluation = FileEvaluation(
        runtime=f"ONNX Runtime {onnxruntime.__version__}",
        provider=PROVIDER,
        computed_in=written,
        batch_size=SHIPPED_BATCH,
        samples=samples,
        pytorch_score=expected,
    )
    return Score(score, evaluation)
