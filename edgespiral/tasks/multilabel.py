"""Several labels a sample: logits (N, L), each label there or not.

--task multilabel                  mean average precision, in percent
--task multilabel?metric=macro-f1  F1 of each label at a probability of one half, in the mean
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional as F

from edgespiral.core.errors import DataError, ModelError
from edgespiral.core.records.metric import Metric
from edgespiral.core.stages.graph import Postprocessing
from edgespiral.tasks.base import BATCH_SIZE, Task
from edgespiral.tasks.shared.checks import (
    described,
    labelled_parts,
    only_option,
    sample_place,
    target_words,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from edgespiral.core.batches import DataSplits
    from edgespiral.core.stages.graph import StageGraph
    from edgespiral.tasks.base import Pairs

ROW = "a sample's target is a row of 0 and 1, float32 or int64"
METRICS = {"map": Metric(name="mAP"), "macro-f1": Metric(name="macro F1")}


class Multilabel(Task):
    """Labels that exclude each other or not: logits (N, L), targets (N, L) of 0 and 1.

    Losses and distances are binary cross-entropies and divergences, the mean over labels, in nats.
    A label that no sample of a split has does not count there.

    Args:
        metric: `map` or `macro-f1`.

    Example:
        >>> logits, labels = torch.tensor([[2.0, -1.0], [-2.0, 1.0]]), torch.eye(2)
        >>> Multilabel().score_of([(logits, labels)])
        100.0
    """

    counted = "labels"
    output_name = "logits"

    def __init__(self, metric: str = "map") -> None:
        self._kind, self.metric = metric, METRICS[metric]

    def configured(self, options: Mapping[str, str]) -> Multilabel:
        """With `metric`: map or macro-f1."""
        return Multilabel(only_option(options, "metric", list(METRICS), "map"))

    def sample_losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Binary cross-entropy, the mean over labels."""
        labels = targets.to(outputs.dtype)
        return F.binary_cross_entropy_with_logits(outputs, labels, reduction="none").mean(1)

    def divergence(self, outputs: Tensor, reference: Tensor) -> Tensor:
        """Kullback-Leibler divergence of each label, the mean over labels."""
        return bernoulli_divergence(outputs, reference).mean(1)

    def distance(self, student: Tensor, teachers: Tensor, temperature: float) -> Tensor:
        """tau^2 * cross-entropy of sigmoid(z_s/tau) with the teachers' mean of sigmoid(z_t/tau)."""
        return soft_distance(student, teachers, temperature)

    def agreement(self, outputs: Tensor, reference: Tensor) -> Tensor:
        """The share of each sample's labels that both have or have not."""
        return ((outputs > 0) == (reference > 0)).float().mean(1)

    def postprocessing(self) -> Postprocessing:
        """Which labels there are."""
        return Postprocessing("threshold of each label", _likely, _add_likely)

    def rightness(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The share of each sample's labels that are right."""
        return ((outputs > 0) == (targets > 0.5)).float().mean(1)

    def chance(self, targets: Tensor) -> float:
        """What each label's commoner answer gets right, in the mean."""
        share = (targets > 0.5).double().mean(0)
        return float(torch.maximum(share, 1 - share).mean())

    def decisions(self, targets: Tensor) -> int:
        """One a label and sample."""
        return targets.numel()

    def targets_of(self, outputs: Tensor) -> Tensor:
        """The labels that the teacher finds more likely than not."""
        return (outputs > 0).float()

    def score_of(self, pairs: Pairs) -> float:
        """The metric over all of the pass, the mean over labels that some sample has."""
        from sklearn.metrics import average_precision_score, f1_score

        both = [(outputs.detach().cpu(), targets.cpu()) for outputs, targets in pairs]
        logits = torch.cat([outputs for outputs, _ in both]).double().numpy()
        labels = torch.cat([targets for _, targets in both]).numpy() > 0.5
        counting = labels.any(0)
        if not counting.any():
            raise DataError("no sample has a label, so there is nothing to score")
        if self._kind == "map":
            each = [
                average_precision_score(labels[:, at], logits[:, at])
                for at in np.flatnonzero(counting)
            ]
            return 100 * float(np.mean(each))
        each = f1_score(labels[:, counting], logits[:, counting] > 0, average=None, zero_division=0)
        return 100 * float(np.mean(each))

    def check_data(self, splits: DataSplits) -> None:
        """Labels of 0 and 1, some of them 1 in each split.

        Raises:
            DataError: anything else.
        """
        for part, source in labelled_parts(splits):
            where, has_some = f"{splits.name}: {part}", False
            for number, (_, targets) in enumerate(source.epoch(batch_size=BATCH_SIZE)):
                if not isinstance(targets, torch.Tensor) or targets.ndim != 2:
                    what = f"targets are {target_words(splits)}, not (labels,)"
                    raise DataError(what, where=where, hint=ROW)
                odd = ((targets != 0) & (targets != 1)).any(1)
                if bool(odd.any()):
                    at = sample_place(source, BATCH_SIZE * number + int(odd.nonzero()[0]))
                    raise DataError(f"labels of {at} are not 0 or 1", where=where, hint=ROW)
                has_some |= bool(targets.any())
            if not has_some:
                what = f"no sample has a label, so {self.metric.name} is undefined"
                raise DataError(what, where=where)

    def check_outputs(self, outputs: object, samples: int, splits: DataSplits) -> None:
        """Finite logits (samples, labels).

        Raises:
            ModelError: anything else.
        """
        labels = len(splits.class_names)
        if splits.is_labelled:
            _, targets = next(iter(splits.validation.epoch(batch_size=1)))
            labels = targets.shape[1]
        if not isinstance(outputs, torch.Tensor):
            raise ModelError(
                f"the model returns {described(outputs)}, not logits", hint="return one tensor"
            )
        if tuple(outputs.shape) != (samples, labels) or not outputs.is_floating_point():
            what = f"the model returns {tuple(outputs.shape)}, not logits of {(samples, labels)}"
            raise ModelError(what, hint="return one logit a label")
        if not bool(outputs.isfinite().all()):
            raise ModelError("the model returns NaN or infinite logits", hint="check its weights")


def bernoulli_divergence(outputs: Tensor, reference: Tensor) -> Tensor:
    """Kullback-Leibler divergence of sigmoid(outputs) from sigmoid(reference), each by itself."""
    share = reference.sigmoid()
    yes = share * (F.logsigmoid(reference) - F.logsigmoid(outputs))
    return yes + (1 - share) * (F.logsigmoid(-reference) - F.logsigmoid(-outputs))


def soft_distance(student: Tensor, teachers: Tensor, temperature: float) -> Tensor:
    """tau^2 * binary cross-entropy with the teachers' softened answers, a scalar.

    Source: Hinton et al. 2015, section 2, for two classes. Shapes: (N, ...) and (T, N, ...).
    """
    soft = torch.sigmoid(teachers / temperature).mean(0)
    return temperature**2 * F.binary_cross_entropy_with_logits(student / temperature, soft)


def _likely(logits: Tensor) -> dict[str, Tensor]:
    return {"labels": logits > 0}


def _add_likely(graph: StageGraph, logits: str) -> dict[str, str]:
    return {"labels": graph.add("Greater", logits, graph.constant(np.float32(0)))}


PLUGIN = Multilabel()
