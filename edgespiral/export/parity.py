"""Whether an exported file computes what the PyTorch model does."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime
import torch

from edgespiral.core.errors import ExportError
from edgespiral.core.modes import evaluating
from edgespiral.core.records import Parity

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor, nn

# Float32 kernels that sum in another order differ by less than this share of the largest output.
TOLERANCE = 1e-3


def check_parity(
    model: nn.Module, path: Path, inputs: Iterable[Tensor], *, tolerance: float = TOLERANCE
) -> Parity:
    """Run both on the same inputs and compare the logits.

    Args:
        model: the PyTorch model, run in eval mode.
        path: the ONNX file, run by ONNX Runtime on this machine's CPU.
        inputs: batches of the file's input shape.
        tolerance: largest difference allowed, as a share of the largest output.

    Raises:
        ExportError: no inputs, inputs of another shape, outputs that are not finite, or a
            difference beyond `tolerance`.
    """
    session = _session(path)
    with torch.no_grad(), evaluating(model):
        pairs = [(model(batch).numpy(), _run(session, batch, path)) for batch in inputs]
    if not pairs:
        raise ExportError("no samples to compare the export on", where=str(path))
    expected, found = (np.concatenate(side) for side in zip(*pairs, strict=True))
    return _judge(path, expected, found, tolerance)


def _run(session: onnxruntime.InferenceSession, batch: Tensor, path: Path) -> NDArray[np.float32]:
    try:
        [logits] = session.run(None, {session.get_inputs()[0].name: batch.numpy()})
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise ExportError(f"ONNX Runtime cannot run it: {reason}", where=str(path)) from error
    return np.asarray(logits)


def _session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ExportError(f"ONNX Runtime cannot load it: {reason}", where=str(path)) from error


def _judge(
    path: Path, expected: NDArray[np.float32], found: NDArray[np.float32], tolerance: float
) -> Parity:
    if not (np.isfinite(expected).all() and np.isfinite(found).all()):
        raise ExportError("outputs are not finite", where=str(path), hint="check the weights")
    difference = float(np.abs(expected - found).max())
    noise = float(np.square(expected - found, dtype=np.float64).sum())
    signal = float(np.square(expected, dtype=np.float64).sum())
    parity = Parity(
        samples=len(expected),
        max_abs_difference=difference,
        top1_agreement=float((expected.argmax(1) == found.argmax(1)).mean()),
        sqnr_db=10 * math.log10(signal / noise) if noise and signal else None,
    )
    limit = tolerance * float(np.abs(expected).max())
    if difference > limit:
        raise ExportError(
            f"the export differs from PyTorch by {difference:.2g} on {len(expected)} samples, "
            f"{limit:.2g} is allowed; top-1 agrees on {parity.top1_agreement:.1%}",
            where=str(path),
            hint="look for operators that depend on the batch size or on the input's size",
        )
    return parity
