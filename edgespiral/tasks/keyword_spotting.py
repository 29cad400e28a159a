"""Keyword spotting: classification that is also told by false rejects at a false-accept rate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from edgespiral.core.errors import DataError
from edgespiral.core.records.metric import Metric
from edgespiral.tasks.base import BATCH_SIZE
from edgespiral.tasks.classification import MACRO_F1, Classification
from edgespiral.tasks.shared.checks import labelled_parts

if TYPE_CHECKING:
    from edgespiral.core.batches import DataSplits
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

    def check_data(self, splits: DataSplits) -> None:
        """One class a sample, and more than one in the test split.

        Raises:
            DataError: anything else.
        """
        super().check_data(splits)
        words = {
            word
            for part, source in labelled_parts(splits)
            if part == "test"
            for _, labels in source.epoch(batch_size=BATCH_SIZE)
            for word in labels.unique().tolist()
        }
        if len(words) == 1:
            raise DataError(
                "every sample is of one word, so false rejects are undefined",
                where=f"{splits.name}: test",
            )

    def scores_beside(self, pairs: Pairs) -> tuple[float, ...]:
        """Macro F1 and false rejects, in percent.

        Raises:
            DataError: all samples are of one word, so that nothing could be accepted falsely.
        """
        pairs = list(pairs)
        probabilities = torch.cat([logits.float().softmax(1).cpu() for logits, _ in pairs])
        labels = torch.cat([labels.cpu() for _, labels in pairs])
        words = torch.unique(labels).tolist()
        if len(words) < 2:
            raise DataError(f"false rejects are undefined: {len(labels)} samples of one word")
        rejects = [_false_rejects(probabilities[:, word], labels == word) for word in words]
        return (*super().scores_beside(pairs), 100.0 * sum(rejects) / len(rejects))


def _false_rejects(probabilities: torch.Tensor, is_word: torch.Tensor) -> float:
    """The least share of the word (N,) that is missed with few enough false accepts."""
    from sklearn.metrics import roc_curve

    accepted, spotted, _ = roc_curve(
        is_word.numpy(), probabilities.numpy(), drop_intermediate=False
    )
    return 1.0 - float(spotted[accepted <= FALSE_ACCEPT_PERCENT / 100].max())


PLUGIN = KeywordSpotting()
