"""Whether an exported file computes what the PyTorch model does."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING

import onnxruntime
import torch

from edgespiral.core.errors import ExportError
from edgespiral.core.nested import joined, leaves, mapped, template
from edgespiral.core.records.parts import by_parts, part_files, part_path
from edgespiral.export.file_model import FileModel
from edgespiral.export.graph import cpu_session, file_sha256
from edgespiral.export.layers import first_diverging, layer_errors
from edgespiral.export.nearness import ParityLimits, compared, differing
from edgespiral.models.calling import call
from edgespiral.models.modes import evaluating

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from edgespiral.core.batches import BatchSource
    from edgespiral.core.nested import Tensors
    from edgespiral.core.records.exported import Parity
    from edgespiral.core.records.schema import Precision
    from edgespiral.tasks.base import Predict, Scored, Task

    Values = NDArray[np.float32]


FLOAT = "the float model"
LIMITS: dict[Precision, ParityLimits] = {
    # Float32 kernels that sum in another order differ by less.
    "fp32": ParityLimits(largest_share=1e-3),
    "fp16": ParityLimits(largest_share=0.05, least_sqnr_db=30.0, least_agreement=0.95),
    "int8": ParityLimits(least_sqnr_db=10.0, least_agreement=0.9),
}

PROVIDER = "CPUExecutionProvider"
# Of the files that are exported, whose sizes are fixed.
SHIPPED_BATCH = 1
# Samples that the order of sums, or rounding, may turn over; as many of them win as lose by it.
TURNED_SHARE: dict[Precision, float] = {"fp32": 0.005, "fp16": 0.02}


def check_parity(
    model: nn.Module,
    path: Path,
    inputs: Iterable[Tensors],
    *,
    task: Task,
    limits: ParityLimits = LIMITS["fp32"],
    source: Path | None = None,
) -> Parity:
    """Run both on the same inputs and compare the outputs.

    Args:
        model: the PyTorch model, run in eval mode.
        path: the ONNX file, run by ONNX Runtime on this machine's CPU.
        inputs: batches of the file's input shape.
        task: which says what of the outputs are decisions.
        limits: what is allowed.
        source: the float32 ONNX file that `path` was made from; with it, a failure names the
            layer that diverges first.

    Raises:
        ExportError: no inputs, inputs of another shape, outputs that are not finite, or a
            difference beyond `limits`.
    """
    samples = list(inputs)
    with torch.no_grad(), evaluating(model):
        expected = [call(model, batch) for batch in samples]
    return _checked(path, samples, expected, limits, task=task, source=source, reference="PyTorch")


def file_score(path: Path, source: BatchSource, task: Task) -> float:
    """What `task` scores of an ONNX file of batch 1, over a whole pass, in its metric's unit.

    Raises:
        ExportError: ONNX Runtime cannot run it, or an output is not finite.
    """
    with predicting_file(path) as predict:
        return task.score(predict, source)


def file_scored(path: Path, source: BatchSource, task: Task) -> Scored:
    """What `file_score` returns, and the figures that `task` reports beside it.

    Raises:
        ExportError: ONNX Runtime cannot run it.
    """
    with predicting_file(path) as predict:
        return task.scored(predict, source)


class FileScores:
    """Scores of ONNX files on one split, of which none is scored twice in a process.

    What a file is, is told by its bytes, which name those of its parts, and by its weights.

    Args:
        source: the split, of which all passes show the same (`data.guard` holds it to that).
        task: whose scores they are.
    """

    def __init__(self, source: BatchSource, task: Task) -> None:
        self.source, self.task = source, task
        self._scores: dict[str, float] = {}

    def of(self, path: Path) -> float:
        """As `file_score`.

        Raises:
            ExportError, ModelError: as `file_score`.
        """
        sha256 = file_sha256(path)
        if sha256 not in self._scores:
            score = file_score(path, self.source, self.task)
            # Nothing is known of a file that changed meanwhile.
            if file_sha256(path) != sha256:
                raise ExportError("changed while it was scored", where=str(path))
            self._scores[sha256] = score
        return self._scores[sha256]


@contextmanager
def predicting_file(path: Path) -> Iterator[Predict]:
    """What an ONNX file of batch 1 says of each sample of a batch, alone, while in the context.

    One session runs samples side by side, each on one thread: that is quicker than to share out the
    work of a small layer, and its sums have the same order on any machine.

    Of a model of parts it says what each of them says, too.

    Raises:
        ExportError: ONNX Runtime cannot load it, or (in `predict`) not run it; or it says what is
            no number, of which no decision can be read.
        ModelError: a part's file is missing or another one.
    """
    files = {part.name: part_path(path, part) for part in part_files(path)}
    threads = torch.get_num_threads()
    with ThreadPoolExecutor(threads) as workers:

        def predicting(file: Path) -> Predict:
            session = opened(file, threads=1)

            def predict(inputs: Tensors) -> Tensors:
                outputs = session.run_each(inputs, workers, threads)
                _require_finite(outputs, file)
                return outputs

            return predict

        yield by_parts(predicting(path), {name: predicting(file) for name, file in files.items()})


def check_score(
    path: Path,
    score: float,
    expected: float,
    samples: int,
    precision: Precision,
    *,
    task: Task,
) -> None:
    """Hold an ONNX file's score against that of the PyTorch model that it was exported from.

    Args:
        score: of the file.
        expected: of the model, on the same samples.
        samples: how many these are.
        precision: of the file; int8 loses what it loses, and that is told.
        task: whose scores they are.

    Raises:
        ExportError: they differ by more than rounding turns over.
    """
    share = TURNED_SHARE.get(precision)
    if share is None:
        return
    if abs(score - expected) > task.allowed_difference(expected, samples, share):
        metric = task.metric
        raise ExportError(
            f"the {metric.name} of the file is {metric.text(score)} on {samples} validation "
            f"samples, of PyTorch {metric.text(expected)}",
            where=str(path),
            hint="look for what depends on the batch, or what the exporter held fixed",
        )


class Reference:
    """A float file's outputs on some inputs, to hold other files against.

    Args:
        path: an ONNX file of batch 1.
        inputs: of its shape.
        task: which says how far outputs are apart.

    Raises:
        ExportError: ONNX Runtime cannot run it.
    """

    def __init__(self, path: Path, inputs: Sequence[Tensors], task: Task) -> None:
        self._path, self._inputs, self._task = path, inputs, task
        self._expected = _outputs(path, inputs)

    def divergence_nats(self, path: Path) -> float:
        """Mean divergence of another file's outputs from the reference's, in nats a sample.

        Raises:
            ExportError: ONNX Runtime cannot run it.
        """
        of_file, expected = (
            mapped(_wide, joined(outputs))
            for outputs in (_outputs(path, self._inputs), self._expected)
        )
        return max(0.0, float(self._task.divergence(of_file, expected).mean()))

    def check(self, path: Path, limits: ParityLimits = LIMITS["int8"]) -> Parity:
        """Compare another file's outputs with the reference's, as `check_parity` does.

        Raises:
            ExportError: as `check_parity`; the layer that diverges first is named.
        """
        return _checked(
            path,
            self._inputs,
            self._expected,
            limits,
            task=self._task,
            source=self._path,
            reference=FLOAT,
        )

    def is_near(self, path: Path, limits: ParityLimits = LIMITS["int8"]) -> bool:
        """Whether `check` would pass.

        Raises:
            ExportError: ONNX Runtime cannot run it.
        """
        of_file = joined(_outputs(path, self._inputs))
        try:
            _judge(path, joined(self._expected), of_file, limits, FLOAT, task=self._task)
        except ExportError:
            return False
        return True


def divergence_nats(
    reference: Path,
    path: Path,
    source: BatchSource,
    samples: int,
    task: Task,
) -> float:
    """Mean divergence of a file's outputs from a reference's, over some samples, in nats.

    Args:
        reference, path: ONNX files of batch 1.
        samples: at most as many, spread over the whole of `source`.
        task: whose divergence it is.

    Raises:
        ExportError: ONNX Runtime cannot run one of them.
    """
    step = max(1, math.ceil(len(source) / samples))
    inputs = [batch for batch, _ in islice(source.epoch(batch_size=1), 0, None, step)]
    return Reference(reference, inputs, task).divergence_nats(path)


def _outputs(path: Path, inputs: Sequence[Tensors]) -> list[Tensors]:
    session = opened(path)
    return [session.run(batch) for batch in inputs]


def _wide(leaf: Tensor) -> Tensor:
    return leaf.double() if leaf.is_floating_point() else leaf


def _checked(
    path: Path,
    inputs: Sequence[Tensors],
    outputs: Sequence[Tensors],
    limits: ParityLimits,
    *,
    task: Task,
    source: Path | None,
    reference: str,
) -> Parity:
    """Run `path` on `inputs` and judge it by the `outputs` that a reference has for them."""
    of_file = _outputs(path, inputs)
    if not of_file:
        raise ExportError("no samples to compare the export on", where=str(path))
    try:
        return _judge(path, joined(outputs), joined(of_file), limits, reference, task=task)
    except ExportError as error:
        if source is None:
            raise
        layer = _first_layer(source, path, inputs, limits)
        raise ExportError(f"{error.what}; {layer}", where=error.where, hint=error.hint) from error


def _first_layer(source: Path, path: Path, samples: Sequence[Tensors], limits: ParityLimits) -> str:
    errors = layer_errors(source, path, samples)
    least = LIMITS["int8"].least_sqnr_db if limits.least_sqnr_db is None else limits.least_sqnr_db
    first = first_diverging(errors, least or 0.0)
    if first is None:
        return "no single layer is far off, the error adds up"
    size = "is not finite" if first.sqnr_db is None else f"has {first.sqnr_db:.1f} dB"
    return f"the first layer to diverge is {first.layer}, which {size}"


def opened(path: Path, threads: int = 0) -> FileModel:
    """A session on `path`; 0 threads are as many as there are cores."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    try:
        session = cpu_session(path, options)
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ExportError(f"ONNX Runtime cannot load it: {reason}", where=str(path)) from error
    return FileModel(session, str(path))


def _judge(
    path: Path,
    expected: Tensors,
    of_file: Tensors,
    limits: ParityLimits,
    reference: str,
    *,
    task: Task,
) -> Parity:
    for outputs in (expected, of_file):
        _require_finite(outputs, path)
    if template(expected) != template(of_file):
        raise ExportError("gives other outputs than the model", where=str(path))
    parity = compared(expected, of_file, task)
    problem = differing(limits, expected, of_file, parity)
    if problem:
        raise ExportError(
            f"the export differs from {reference} by {parity.max_abs_difference:.2g} "
            f"on {parity.samples} samples, decisions agree on {parity.agreement:.1%}: "
            f"{problem}",
            where=str(path),
            hint="look for operators that depend on the batch size or on the input's size"
            if limits.least_sqnr_db is None
            else "try another recipe, calibrate --max-drop, or a higher precision",
        )
    return parity


def _require_finite(outputs: Tensors, path: Path) -> None:
    if not all(bool(leaf.isfinite().all()) for leaf in leaves(outputs).values()):
        hint = "check the weights and the samples; fp16 ends at 65,504"
        raise ExportError("outputs are not finite", where=str(path), hint=hint)
