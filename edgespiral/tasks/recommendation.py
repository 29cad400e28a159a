"""Recommendation: how much a user wants an item, scored by where the right one is ranked.

    --task recommendation

Each query is a user's one item that was held back among others that the user has not met; its rank
is by the model's logits. The share of queries in which it is among the first ten is HR@10. NDCG@10
is reported beside it, which counts a place less the further down it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional as F

from edgespiral.core.errors import DataError, ModelError
from edgespiral.core.nested import count
from edgespiral.core.records.metric import Metric
from edgespiral.tasks.base import BATCH_SIZE, Task, share_difference, share_error
from edgespiral.tasks.multilabel import bernoulli_divergence, soft_distance
from edgespiral.tasks.shared.checks import described, labelled_parts, sample_place

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from torch import Tensor

    from edgespiral.core.batches import BatchSource, DataSplits
    from edgespiral.tasks.base import Pairs

AMONG = 10
LABEL, QUERY = "label", "query"


class Recommendation(Task):
    """A logit (N,) or (N, 1) for each pair of a user and an item.

    Targets are a dict of `label` (N,), 1 where the user has met the item, and `query` (N,), the
    number of the query that the pair is a candidate of. Losses and distances are binary
    cross-entropies, in nats.

    Source: He et al. 2017, "Neural Collaborative Filtering", sections 3.1 and 4.1.

    Example:
        >>> logits = torch.tensor([3.0, 1.0, 2.0])
        >>> targets = {"label": torch.tensor([1, 0, 0]), "query": torch.tensor([0, 0, 0])}
        >>> Recommendation().score_of([(logits, targets)])
        100.0
    """

    metric = Metric(name=f"HR@{AMONG}")
    output_name = "logits"
    beside = (Metric(name=f"NDCG@{AMONG}"),)

    def sample_losses(self, outputs: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        """Binary cross-entropy of each pair."""
        labels = targets[LABEL].to(outputs.dtype)
        return F.binary_cross_entropy_with_logits(_logits(outputs), labels, reduction="none")

    def distance(self, student: Tensor, teachers: Tensor, temperature: float) -> Tensor:
        """tau^2 * cross-entropy of sigmoid(z_s/tau) with the teachers' mean of sigmoid(z_t/tau)."""
        return soft_distance(_logits(student), teachers.reshape(len(teachers), -1), temperature)

    def divergence(self, outputs: Tensor, reference: Tensor) -> Tensor:
        """Kullback-Leibler divergence of each pair's probability, in nats."""
        return bernoulli_divergence(_logits(outputs), _logits(reference))

    def agreement(self, outputs: Tensor, reference: Tensor) -> Tensor:
        """1 where both find the pair likely, or both do not."""
        return ((_logits(outputs) > 0) == (_logits(reference) > 0)).float()

    def rightness(self, outputs: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        """The probability of what is right."""
        sign = 2 * targets[LABEL].to(outputs.dtype) - 1
        return torch.sigmoid(sign * _logits(outputs))

    def score_of(self, pairs: Pairs) -> float:
        """The share of queries whose item is among the first ten, in percent."""
        ranks = _ranks(pairs)
        return 100 * float((ranks < AMONG).mean())

    def scores_beside(self, pairs: Pairs) -> tuple[float, ...]:
        """The mean of 1 / log2(2 + rank) of those among the first ten, else 0, in percent."""
        ranks = _ranks(pairs)
        gains = np.where(ranks < AMONG, 1 / np.log2(2 + ranks), 0.0)
        return (100 * float(gains.mean()),)

    def allowed_difference(self, expected: float, samples: int, turned_share: float) -> float:  # noqa: ARG002
        """That of a hundredth of the pairs: a query has about so many candidates."""
        return share_difference(max(1, samples // 100), turned_share)

    def standard_error(self, score: float, source: BatchSource) -> float:
        """That of a share of the queries, in points."""
        queries = [targets[QUERY] for _, targets in source.epoch(batch_size=BATCH_SIZE)]
        return share_error(score, len(torch.unique(torch.cat(queries))))

    def check_data(self, splits: DataSplits) -> None:
        """A label and a query for each pair, and one item to be found in each query.

        Raises:
            DataError: anything else.
        """
        for part, source in labelled_parts(splits):
            where = f"{splits.name}: {part}"
            positives: list[Tensor] = []
            queries: list[Tensor] = []
            seen = 0
            for _, targets in source.epoch(batch_size=BATCH_SIZE):
                if not isinstance(targets, dict) or targets.keys() != {LABEL, QUERY}:
                    raise DataError(
                        "targets are no dict of label and query",
                        where=where,
                        hint="see docs/tasks/recommendation.md; ratings:FILE makes them",
                    )
                odd = (targets[LABEL] != 0) & (targets[LABEL] != 1)
                if bool(odd.any()):
                    at = sample_place(source, seen + int(odd.nonzero()[0, 0]))
                    raise DataError(f"the label of {at} is neither 0 nor 1", where=where)
                seen += count(targets)
                positives.append(targets[QUERY][targets[LABEL] == 1])
                queries.append(targets[QUERY])
            if part == "train":
                continue
            _, counts = np.unique(torch.cat(positives).numpy(), return_counts=True)
            if len(counts) != len(np.unique(torch.cat(queries).numpy())) or counts.max() > 1:
                what = "a query has not one item with label 1, which is to be found"
                raise DataError(what, where=where)

    def check_outputs(self, outputs: object, samples: int, splits: DataSplits) -> None:  # noqa: ARG002
        """One finite logit a pair.

        Raises:
            ModelError: anything else.
        """
        hint = "return a logit for each pair, (samples,) or (samples, 1)"
        if not isinstance(outputs, torch.Tensor):
            raise ModelError(f"the model returns {described(outputs)}, not logits", hint=hint)
        if tuple(outputs.shape) not in ((samples,), (samples, 1)):
            raise ModelError(f"the model returns {tuple(outputs.shape)}, not logits", hint=hint)
        if not outputs.is_floating_point() or not bool(outputs.isfinite().all()):
            raise ModelError("the model returns no finite logits", hint="check its weights")


def _logits(outputs: Tensor) -> Tensor:
    return outputs.reshape(len(outputs))


def _ranks(pairs: Pairs) -> NDArray[np.int64]:
    """Of each query how many candidates are before its item; those that tie with it are.

    Raises:
        DataError: no query has an item to be found.
    """
    both = [(_logits(out.detach().cpu()).double(), targets) for out, targets in pairs]
    logits = torch.cat([out for out, _ in both]).numpy()
    labels, queries = (
        torch.cat([targets[name].cpu() for _, targets in both]).numpy() for name in (LABEL, QUERY)
    )
    is_positive = labels == 1
    if not is_positive.any():
        raise DataError(f"HR@{AMONG} is undefined: no query has an item to be found")
    numbers, places = np.unique(queries, return_inverse=True)
    own = np.full(len(numbers), np.nan)
    own[places[is_positive]] = logits[is_positive]
    before = np.bincount(places[~is_positive & (logits >= own[places])], minlength=len(numbers))
    ranks: NDArray[np.int64] = before[~np.isnan(own)]
    return ranks


PLUGIN = Recommendation()
