"""Yes or no: one logit a sample, scored by the area under the ROC curve.

    --task binary                   both classes count as often as they come
    --task binary?weights=balanced  the loss counts the rarer class as much as the other

Log loss and the calibration error are reported beside it: an area under the curve says how well
samples are ordered, and nothing of whether a probability means what it says.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional as F

from edgespiral.core.errors import DataError, ModelError
from edgespiral.core.nested import count
from edgespiral.core.records.metric import Metric
from edgespiral.tasks.base import BATCH_SIZE, Task
from edgespiral.tasks.multilabel import bernoulli_divergence, soft_distance
from edgespiral.tasks.shared.checks import described, labelled_parts, only_option, sample_place

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray
    from torch import Tensor

    from edgespiral.core.batches import BatchSource, DataSplits
    from edgespiral.tasks.base import Pairs

    Values = NDArray[np.float64]

BINS = 15


class Binary(Task):
    """One of two classes a sample: logits (N,), (N, 1) or (N, 2), targets (N,) of 0 and 1.

    Of two logits the difference counts, second less first. Losses, distances and divergences are
    of the probability that it makes, in nats.

    Args:
        is_balanced: the loss is to count both classes alike.
        positive_weight: how many times a sample of class 1 counts in it.

    Example:
        >>> logits, labels = torch.tensor([-1.0, 0.5, 2.0]), torch.tensor([0, 0, 1])
        >>> Binary().score_of([(logits, labels)])
        100.0
    """

    metric = Metric(name="ROC AUC")
    output_name = "logits"
    beside = (
        Metric(name="log loss", unit="nats", higher_is_better=False),
        Metric(name="calibration error", higher_is_better=False),
    )

    def __init__(self, *, is_balanced: bool = False, positive_weight: float = 1.0) -> None:
        self._is_balanced, self._positive_weight = is_balanced, positive_weight

    def configured(self, options: Mapping[str, str]) -> Binary:
        """With `weights`: none or balanced."""
        weights = only_option(options, "weights", ["none", "balanced"], "none")
        return Binary(is_balanced=weights == "balanced")

    def fitted(self, splits: DataSplits) -> tuple[Task, DataSplits]:
        """With the weights that the training split's classes need, where these are asked for."""
        if not self._is_balanced or not splits.is_labelled:
            return self, splits
        positives = samples = 0.0
        for _, targets in splits.train.epoch(batch_size=BATCH_SIZE):
            positives += float(_labels(targets).sum())
            samples += count(targets)
        if not 0 < positives < samples:
            return self, splits  # which `check_data` refuses
        return Binary(positive_weight=(samples - positives) / positives), splits

    def loss(self, outputs: Tensor, targets: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
        """Mean cross-entropy, weighted; smoothed labels are drawn towards one half."""
        labels = _labels(targets).to(outputs.dtype)
        smooth = labels * (1 - label_smoothing) + label_smoothing / 2
        losses = F.binary_cross_entropy_with_logits(_logits(outputs), smooth, reduction="none")
        weights = self._weights(labels)
        return (weights * losses).sum() / weights.sum()

    def sample_losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy of each sample, weighted."""
        labels = _labels(targets).to(outputs.dtype)
        losses = F.binary_cross_entropy_with_logits(_logits(outputs), labels, reduction="none")
        return self._weights(labels) * losses

    def _weights(self, labels: Tensor) -> Tensor:
        """Of each sample, (N,)."""
        return 1 + (self._positive_weight - 1) * labels

    def distance(self, student: Tensor, teachers: Tensor, temperature: float) -> Tensor:
        """tau^2 * cross-entropy of sigmoid(z_s/tau) with the teachers' mean of sigmoid(z_t/tau)."""
        each = torch.stack([_logits(teacher) for teacher in teachers])
        return soft_distance(_logits(student), each, temperature)

    def divergence(self, outputs: Tensor, reference: Tensor) -> Tensor:
        """Kullback-Leibler divergence of each sample's probability, in nats."""
        return bernoulli_divergence(_logits(outputs), _logits(reference))

    def agreement(self, outputs: Tensor, reference: Tensor) -> Tensor:
        """1 where both find the same class more likely, else 0."""
        return ((_logits(outputs) > 0) == (_logits(reference) > 0)).float()

    def rightness(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The probability of the right class: at one half a rare class would never be told."""
        sign = 2 * _labels(targets).to(outputs.dtype) - 1
        return torch.sigmoid(sign * _logits(outputs))

    def targets_of(self, outputs: Tensor) -> Tensor:
        """The class that the teacher finds more likely."""
        return (_logits(outputs) > 0).long()

    def score_of(self, pairs: Pairs) -> float:
        """Area under the ROC curve, in percent.

        Raises:
            DataError: all samples have one class, so that there is none.
        """
        from sklearn.metrics import roc_auc_score

        logits, labels = _together(pairs)
        if len(np.unique(labels)) < 2:
            raise DataError(f"ROC AUC is undefined: {len(labels)} samples of one class")
        return 100 * float(roc_auc_score(labels, logits))

    def scores_beside(self, pairs: Pairs) -> tuple[float, ...]:
        """Log loss in nats, and the expected calibration error of 15 bins in percent.

        Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", section 2.
        """
        logits, labels = _together(pairs)
        loss = np.logaddexp(0.0, -(2 * labels - 1) * logits).mean()
        shares = np.exp(-np.logaddexp(0.0, -logits))
        return float(loss), 100 * calibration_error(shares, labels)

    def allowed_difference(self, expected: float, samples: int, turned_share: float) -> float:  # noqa: ARG002
        """The share of pairs that may change their order, in points."""
        return 100 * turned_share

    def standard_error(self, score: float, source: BatchSource) -> float:
        """See `area_error`."""
        return area_error(
            score, (_labels(targets) for _, targets in source.epoch(batch_size=BATCH_SIZE))
        )

    def check_data(self, splits: DataSplits) -> None:
        """Labels of 0 and 1, and both of them in every split.

        Raises:
            DataError: anything else.
        """
        if splits.class_names and len(splits.class_names) != 2:
            raise DataError(f"has {len(splits.class_names)} classes, not two", where=splits.name)
        for part, source in labelled_parts(splits):
            where, seen = f"{splits.name}: {part}", set[float]()
            for number, (_, targets) in enumerate(source.epoch(batch_size=BATCH_SIZE)):
                labels = _required(targets, where, source, BATCH_SIZE * number)
                seen |= set(torch.unique(labels).tolist())
            if len(seen) < 2:
                what = f"every sample is of class {int(min(seen))}, so ROC AUC is undefined"
                raise DataError(what, where=where, hint="split it so that both classes are in it")

    def check_outputs(self, outputs: object, samples: int, splits: DataSplits) -> None:  # noqa: ARG002
        """One finite logit a sample, or two.

        Raises:
            ModelError: anything else.
        """
        hint = "return logits (samples,), (samples, 1), or (samples, 2)"
        if not isinstance(outputs, torch.Tensor):
            raise ModelError(f"the model returns {described(outputs)}, not logits", hint=hint)
        shapes = ((samples,), (samples, 1), (samples, 2))
        if tuple(outputs.shape) not in shapes or not outputs.is_floating_point():
            kind = str(outputs.dtype).removeprefix("torch.")
            raise ModelError(f"the model returns a {kind} tensor {tuple(outputs.shape)}", hint=hint)
        if not bool(outputs.isfinite().all()):
            raise ModelError("the model returns NaN or infinite logits", hint="check its weights")


def area_error(percent: float, labels: Iterable[Tensor]) -> float:
    """Standard deviation of an area under the ROC curve, in points.

    Source: Hanley and McNeil 1982, "The meaning and use of the area under a receiver operating
    characteristic (ROC) curve", eq. 1, for scores that are distributed exponentially.

    Args:
        percent: the area.
        labels: 0 and 1, both of them, in batches (N,).

    Example:
        >>> round(area_error(80.0, [torch.tensor([1] * 50 + [0] * 50)]), 2)
        4.45
    """
    each = torch.cat(list(labels))
    area, positives = percent / 100, int(each.sum())
    negatives = len(each) - positives
    above_two = area / (2 - area) - area**2
    below_two = 2 * area**2 / (1 + area) - area**2
    spread = area * (1 - area) + (positives - 1) * above_two + (negatives - 1) * below_two
    return 100 * math.sqrt(max(0.0, spread) / (positives * negatives))


def calibration_error(shares: Values, labels: Values, bins: int = BINS) -> float:
    """Mean distance of the share of ones from the mean probability, over bins of probability.

    Args:
        shares: probabilities (N,) of a one.
        labels: 0 or 1, (N,).
    """
    places = np.minimum((shares * bins).astype(np.int64), bins - 1)
    gaps = np.bincount(places, shares - labels, minlength=bins)
    return float(np.abs(gaps).sum() / len(labels))


def _logits(outputs: Tensor) -> Tensor:
    """One a sample, (N,)."""
    if outputs.ndim == 2 and outputs.shape[1] == 2:
        return outputs[:, 1] - outputs[:, 0]
    return outputs.reshape(len(outputs))


def _labels(targets: Tensor) -> Tensor:
    return targets.reshape(len(targets))


def _required(targets: object, where: str, source: BatchSource, first: int) -> Tensor:
    """Labels of a batch of `source` that begins with sample `first`, if they are 0 and 1."""
    hint = "a target is 0 or 1"
    if not isinstance(targets, torch.Tensor) or targets.numel() != len(targets):
        raise DataError("targets are not one number a sample", where=where, hint=hint)
    odd = (_labels(targets) != 0) & (_labels(targets) != 1)
    if bool(odd.any()):
        at = int(odd.nonzero()[0])
        value, place = float(_labels(targets)[at]), sample_place(source, first + at)
        raise DataError(f"the target of {place} is {value:g}", where=where, hint=hint)
    return _labels(targets)


def _together(pairs: Pairs) -> tuple[Values, Values]:
    """Logits and labels of a whole pass, (N,) each."""
    both = [(_logits(out.detach().cpu()), _labels(targets.cpu())) for out, targets in pairs]
    logits, labels = (torch.cat(side).double().numpy() for side in zip(*both, strict=True))
    return logits, labels


PLUGIN = Binary()
