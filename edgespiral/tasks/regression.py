"""Regression: real outputs of the shape of their targets, scored by how far off they are.

    --task regression              mean absolute error
    --task regression?metric=rmse  root of the mean squared error; also mse and r2

Targets that are of the size of 1, such as standardised ones, are best learned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from edgespiral.core.errors import DataError, ModelError
from edgespiral.core.records.metric import Metric
from edgespiral.core.stages.graph import NOTHING
from edgespiral.tasks.base import BATCH_SIZE, Task
from edgespiral.tasks.shared.checks import (
    described,
    labelled_parts,
    only_option,
    sample_place,
    target_words,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor

    from edgespiral.core.batches import BatchSource, DataSplits
    from edgespiral.core.stages.graph import Postprocessing
    from edgespiral.tasks.base import Pairs

METRICS = {
    "mae": Metric(name="MAE", unit="", higher_is_better=False),
    "mse": Metric(name="MSE", unit="", higher_is_better=False),
    "rmse": Metric(name="RMSE", unit="", higher_is_better=False),
    "r2": Metric(name="R2", unit=""),
}


class Regression(Task):
    """A number or several a sample: outputs and targets are real, (N, ...) of one shape.

    Training minimises the smooth L1 distance to the target and to the teacher (Huber 1964, with a
    threshold of 1). Targets (N,) and outputs (N, 1) are one shape.

    Args:
        metric: a key of `METRICS`.

    Example:
        >>> outputs, targets = torch.tensor([[1.0], [2.0]]), torch.tensor([[1.5], [2.0]])
        >>> Regression().score_of([(outputs, targets)])
        0.25
    """

    def __init__(self, metric: str = "mae") -> None:
        self._kind, self.metric = metric, METRICS[metric]

    def configured(self, options: Mapping[str, str]) -> Regression:
        """With `metric`: mae, mse, rmse or r2."""
        return Regression(only_option(options, "metric", list(METRICS), "mae"))

    def sample_losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Smooth L1 distance, the mean over a sample's numbers."""
        expected = targets.reshape(outputs.shape).to(outputs.dtype)
        return (
            F.smooth_l1_loss(outputs, expected, reduction="none").reshape(len(outputs), -1).mean(1)
        )

    def divergence(self, outputs: Tensor, reference: Tensor) -> Tensor:
        """Smooth L1 distance of each sample's outputs from the reference's."""
        return self.sample_losses(outputs, reference)

    def distance(self, student: Tensor, teachers: Tensor, temperature: float) -> Tensor:
        """Smooth L1 distance to the mean of the teachers."""
        del temperature
        return self.sample_losses(student, teachers.mean(0)).mean()

    def targets_of(self, outputs: Tensor) -> Tensor:
        """The outputs themselves."""
        return outputs

    def score_of(self, pairs: Pairs) -> float:
        """The metric over all numbers of the pass; R2 is the mean over the columns of targets.

        A column is one of several numbers (N, K), or a channel of a field (N, C, H, W).

        Raises:
            DataError: all targets of a column are the same, so that there is no R2.
        """
        all_outputs, all_targets = zip(*_in_columns(pairs), strict=True)
        outputs, targets = torch.cat(all_outputs), torch.cat(all_targets)
        if self._kind == "mae":
            return float((outputs - targets).abs().mean())
        squares = (outputs - targets).square()
        if self._kind == "r2":
            constant = _constant_column(targets)
            if constant is not None:
                raise DataError(f"R2 is undefined: {constant}")
            return float((1 - squares.mean(0) / targets.var(0, correction=0)).mean())
        mean = float(squares.mean())
        return mean**0.5 if self._kind == "rmse" else mean

    def check_data(self, splits: DataSplits) -> None:
        """Real, finite targets, which differ where the metric divides by that.

        Raises:
            DataError: classes, or several targets, or some that are not finite.
        """
        for part, source in labelled_parts(splits):
            self._check_part(source, f"{splits.name}: {part}", splits)

    def _check_part(self, source: BatchSource, where: str, splits: DataSplits) -> None:
        seen: list[Tensor] = []
        for _, targets in source.epoch(batch_size=BATCH_SIZE):
            if not isinstance(targets, torch.Tensor) or splits.target_shape is not None:
                raise DataError(
                    f"targets are {target_words(splits)}, not real numbers",
                    where=where,
                    hint="a target is a float32 tensor; whole numbers are classes",
                )
            finite = targets.isfinite().reshape(len(targets), -1).all(1)
            if not bool(finite.all()):
                at = sample_place(source, sum(map(len, seen)) + int((~finite).nonzero()[0]))
                raise DataError(f"the target of {at} is NaN or infinite", where=where)
            seen.append(targets)
        constant = _constant_column(_columns(torch.cat(seen))) if seen else None
        if self._kind == "r2" and constant is not None:
            raise DataError(f"{constant}, so R2 is undefined", where=where)

    def target_problem(self, targets: Tensor, splits: DataSplits) -> tuple[int, str] | None:  # noqa: ARG002
        """A target that is not finite."""
        if not isinstance(targets, torch.Tensor) or bool(targets.isfinite().all()):
            return None
        finite = targets.isfinite().reshape(len(targets), -1).all(1)
        return int((~finite).nonzero()[0]), "the target is NaN or infinite"

    def postprocessing(self) -> Postprocessing:
        """Nothing: outputs are the answers."""
        return NOTHING

    def check_outputs(self, outputs: object, samples: int, splits: DataSplits) -> None:
        """Finite real outputs, of the shape of the targets.

        Raises:
            ModelError: anything else.
        """
        if not isinstance(outputs, torch.Tensor):
            raise ModelError(
                f"the model returns {described(outputs)}, not one tensor",
                hint="return the tensor alone, or give a task of your own",
            )
        got = f"a {str(outputs.dtype).removeprefix('torch.')} tensor {tuple(outputs.shape)}"
        hint = "return float32 of the shape of the targets"
        if not outputs.is_floating_point() or outputs.shape[:1] != (samples,):
            raise ModelError(f"the model returns {got} for {samples} samples", hint=hint)
        if not bool(outputs.isfinite().all()):
            raise ModelError("the model returns NaN or infinite numbers", hint="check its weights")
        if splits.is_labelled:
            _, targets = next(iter(splits.validation.epoch(batch_size=1)))
            shapes = [tuple(value.shape[1:]) for value in (outputs, targets)]
            if _without_ones(shapes[0]) != _without_ones(shapes[1]):
                what = f"the model returns {got}, and a sample's targets are {shapes[1]}"
                raise ModelError(what, hint=hint)


def _in_columns(pairs: Pairs) -> Iterator[tuple[Tensor, Tensor]]:
    """Outputs and targets (M, columns), in double precision, on the CPU."""
    for outputs, targets in pairs:
        expected = targets.cpu().double()
        yield _columns(outputs.detach().cpu().double().reshape(expected.shape)), _columns(expected)


def _columns(targets: Tensor) -> Tensor:
    """(M, columns): each of several numbers, each channel of a field, or all together."""
    values = targets.reshape(len(targets), *_without_ones(tuple(targets.shape[1:])))
    if values.ndim in (1, 3):
        return values.reshape(-1, 1)
    return values.movedim(1, -1).reshape(-1, values.shape[1])


def _constant_column(columns: Tensor) -> str | None:
    """What is said of the first of (M, columns) whose numbers are all the same; None: none is."""
    # A variance need not be 0 of numbers that are all the same, as their mean is rounded.
    constant = (columns == columns[:1]).all(0).nonzero().flatten().tolist()
    if not constant:
        return None
    if columns.shape[1] == 1:
        return f"all {len(columns)} targets are the same"
    return f"number {constant[0] + 1} of {columns.shape[1]} is the same in all targets"


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)


PLUGIN = Regression()
