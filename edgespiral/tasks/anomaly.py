"""Anomalies: a model that gives its input back, and what it gives back badly is odd.

    --task anomaly             area under the ROC curve of the error of reconstruction
    --task anomaly?metric=mse  that error itself, which needs no labels at all

Training learns from inputs alone. Labels, 1 for an anomaly, are asked for in validation and test,
where the area under the curve is taken; training samples had best be normal ones.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from edgespiral.core.batches import retargeted
from edgespiral.core.errors import DataError, ModelError
from edgespiral.core.records.metric import Metric
from edgespiral.tasks.base import BATCH_SIZE, Task
from edgespiral.tasks.binary import area_error
from edgespiral.tasks.shared.checks import described, labelled_parts, only_option, sample_place

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from edgespiral.core.batches import BatchSource, DataSplits
    from edgespiral.core.nested import Tensors
    from edgespiral.tasks.base import Pairs

METRICS = {
    "auc": Metric(name="ROC AUC"),
    "mse": Metric(name="MSE", unit="", higher_is_better=False),
}
INPUTS, ANOMALY = "inputs", "anomaly"
# What the classes 0 and 1 are called, whatever their case, where their names say which is which.
NORMAL_NAMES = ("good", "normal", "ok", "healthy", "intact", "benign")
ANOMALY_NAMES = ("anomaly", "anomalous", "abnormal", "bad", "defect", "defective", "faulty")


class Anomaly(Task):
    """Autoencoders: outputs (N, ...) of the shape of their inputs.

    Losses, distances and divergences are squared differences, the mean over a sample's numbers.
    Targets are the inputs, and whether each is an anomaly.

    Args:
        metric: a key of `METRICS`.

    Source: Zhou and Paffenroth 2017; MLPerf Tiny's anomaly detection, Banbury et al. 2021.

    Example:
        >>> targets = {"inputs": torch.zeros(2, 3), "anomaly": torch.tensor([0, 1])}
        >>> Anomaly().score_of([(torch.tensor([[0.0] * 3, [1.0] * 3]), targets)])
        100.0
    """

    def __init__(self, metric: str = "auc") -> None:
        self._kind, self.metric = metric, METRICS[metric]

    def configured(self, options: Mapping[str, str]) -> Anomaly:
        """With `metric`: auc or mse."""
        return Anomaly(only_option(options, "metric", list(METRICS), "auc"))

    def fitted(self, splits: DataSplits) -> tuple[Task, DataSplits]:
        """With inputs as targets, beside the labels if there are some."""
        return self, replace(retargeted(splits, _given_back), target_shape=None)

    def sample_losses(self, outputs: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        """Squared error of reconstruction."""
        return self.divergence(outputs, targets[INPUTS])

    def divergence(self, outputs: Tensor, reference: Tensor) -> Tensor:
        """Squared difference of each sample's outputs from the reference's."""
        return (outputs - reference).square().reshape(len(outputs), -1).mean(1)

    def distance(self, student: Tensor, teachers: Tensor, temperature: float) -> Tensor:
        """Squared difference from the mean of the teachers."""
        del temperature
        return self.divergence(student, teachers.mean(0)).mean()

    def score_of(self, pairs: Pairs) -> float:
        """Area under the ROC curve in percent, or the mean squared error.

        Raises:
            DataError: there are no anomalies, or nothing else, so that there is no such area.
        """
        from sklearn.metrics import roc_auc_score

        errors, odd = [], []
        for outputs, targets in pairs:
            reconstruction = outputs.detach().cpu().double()
            errors.append(self.divergence(reconstruction, targets[INPUTS].cpu().double()))
            odd.append(
                targets[ANOMALY].cpu() if ANOMALY in targets else torch.zeros(len(reconstruction))
            )
        if self._kind == "mse":
            return float(torch.cat(errors).mean())
        labels = torch.cat(odd).numpy()
        if len(set(labels.tolist())) < 2:
            raise DataError(f"ROC AUC is undefined: {len(labels)} samples of one kind")
        return 100 * float(roc_auc_score(labels, torch.cat(errors).numpy()))

    def allowed_difference(self, expected: float, samples: int, turned_share: float) -> float:
        """The share of pairs that may change their order, in points; of errors as for any."""
        if self._kind == "mse":
            return super().allowed_difference(expected, samples, turned_share)
        return 100 * turned_share

    def standard_error(self, score: float, source: BatchSource) -> float | None:
        """That of an area under the curve, in points; of errors it is not known."""
        if self._kind == "mse":
            return None
        return area_error(
            score, (targets[ANOMALY] for _, targets in source.epoch(batch_size=BATCH_SIZE))
        )

    def check_data(self, splits: DataSplits) -> None:
        """Anomalies and normal samples in validation and test, told by 1 and 0.

        Raises:
            DataError: anything else, unless the metric needs no labels.
        """
        if splits.inputs is not None:
            what = "has several inputs a sample, and an autoencoder gives one back"
            raise DataError(what, where=splits.name, hint="put them into one tensor")
        if self._kind == "mse":
            return
        _require_normal_first(splits)
        for part, source in labelled_parts(splits)[1:]:
            where, seen = f"{splits.name}: {part}", set[int]()
            for number, (_, targets) in enumerate(source.epoch(batch_size=BATCH_SIZE)):
                labels = targets.get(ANOMALY)
                if labels is None:
                    what = "has no labels, by which anomalies are told"
                    raise DataError(what, where=where, hint="--task anomaly?metric=mse needs none")
                odd = (labels != 0) & (labels != 1)
                if bool(odd.any()):
                    at = sample_place(source, BATCH_SIZE * number + int(odd.nonzero()[0]))
                    what = f"the label of {at} is neither 0 nor 1"
                    raise DataError(what, where=where, hint="1 is an anomaly")
                seen |= {int(label) for label in torch.unique(labels)}
            if len(seen) < 2:
                kind = "an anomaly" if 1 in seen else "normal"
                what = f"every sample is {kind}, so ROC AUC is undefined"
                raise DataError(what, where=where, hint="--task anomaly?metric=mse needs no labels")

    def check_outputs(self, outputs: object, samples: int, splits: DataSplits) -> None:
        """Finite outputs of the shape of the inputs.

        Raises:
            ModelError: anything else.
        """
        expected = (samples, *splits.input_shape)
        if not isinstance(outputs, torch.Tensor):
            raise ModelError(f"the model returns {described(outputs)}, not its input given back")
        if tuple(outputs.shape) != expected or not outputs.is_floating_point():
            what = f"the model returns {tuple(outputs.shape)}, and its inputs are {expected}"
            raise ModelError(what, hint="an autoencoder gives back what it is given")
        if not bool(outputs.isfinite().all()):
            raise ModelError("the model returns NaN or infinite numbers", hint="check its weights")


def _require_normal_first(splits: DataSplits) -> None:
    """Refuse two classes whose names say that the second, 1, is the normal one.

    Raises:
        DataError: it is; the classes of a folder are numbered in the order of the alphabet.
    """
    names = [name.lower() for name in splits.class_names]
    if len(names) == 2 and (names[1] in NORMAL_NAMES or names[0] in ANOMALY_NAMES):
        first, second = splits.class_names
        raise DataError(
            f"class 1, {second!r}, would be the anomaly, and class 0, {first!r}, normal",
            where=splits.name,
            hint="have the normal class first: folders as 0-good and 1-defect, csv: ?positive=",
        )


def _given_back(inputs: Tensors, labels: Tensors) -> Tensors:
    """Inputs as their own targets, beside the label of each where there is one."""
    is_one_a_sample = isinstance(labels, torch.Tensor) and labels.numel() == len(labels)
    return {INPUTS: inputs} | ({ANOMALY: labels.reshape(-1)} if is_one_a_sample else {})


PLUGIN = Anomaly()
