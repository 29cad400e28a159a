"""Keyword spotting: classification that is also told by false rejects at a false-accept rate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from edgespiral.core.records.metric import Metric
from edgespiral.tasks.classification import MACRO_F1, Classification

if TYPE_CHECKING:
    from edgespiral.tasks.base import Pairs

FALSE_ACCEPT_PERCENT = 1.0
FALSE_REJECTS = Metric(
    name=f"false rejects at {FALSE_ACCEPT_PERCENT:g} % false accepts", higher_is_better=False
)


class KeywordSpotting(Classification):
    """One word a sample: outputs are logits (N, C), targets labels (N,), int64.

    Scored by accuracy. Beside it, of the test split: each word is spotted where its probability is
    above a threshold of its own, which lets at most 1 % of the other words through; the share
    of the word itself that is missed so, a mean over words.
    """

    beside = (MACRO_F1, FALSE_REJECTS)

    def scores_beside(self, pairs: Pairs) -> tuple[float, ...]:
        """Macro F1 and false rejects, in percent."""
        pairs = list(pairs)
        probabilities = torch.cat([logits.float().softmax(1).cpu() for logits, _ in pairs])
        labels = torch.cat([labels.cpu() for _, labels in pairs])
        rejects = [
            _false_rejects(probabilities[:, word], labels == word)
            for word in torch.unique(labels).tolist()
            if bool((labels != word).any())
        ]
        mean = 100.0 * sum(rejects) / len(rejects) if rejects else 0.0
        return (*super().scores_beside(pairs), mean)


def _false_rejects(probabilities: torch.Tensor, is_word: torch.Tensor) -> float:
    """The least share of the word (N,) that is missed with few enough false accepts."""
    from sklearn.metrics import roc_curve

    accepted, spotted, _ = roc_curve(
        is_word.numpy(), probabilities.numpy(), drop_intermediate=False
    )
    return 1.0 - float(spotted[accepted <= FALSE_ACCEPT_PERCENT / 100].max())


PLUGIN = KeywordSpotting()
