import pytest
import torch

from edgespiral import tasks
from edgespiral.core.batches import DataSplits
from edgespiral.core.errors import DataError
from edgespiral.data.tensors import StoredRows
from edgespiral.tasks.keyword_spotting import PLUGIN


def logits(probability_of_first):
    p = torch.tensor(probability_of_first)
    return torch.stack([p.log(), (1 - p).log()], 1)


def test_false_rejects_are_counted_where_few_others_are_accepted():
    assert tasks.load("keyword-spotting") is PLUGIN
    # Ten of each; no false accept is allowed among so few, and one of the other word is sure.
    first = [0.9, 0.9, 0.8, 0.8, 0.8, 0.8, 0.7, 0.6, 0.6, 0.55]
    second = [0.75, *[0.2] * 9]
    labels = torch.tensor([0] * 10 + [1] * 10)
    pairs = [(logits(first + second), labels)]
    assert PLUGIN.score_of(pairs) == pytest.approx(95.0)
    macro_f1, rejected = PLUGIN.scores_beside(pairs)
    # Four of the first word are below 0.75; of the second, that one is above 0.55 of the first.
    assert rejected == pytest.approx(100 * (0.4 + 0.1) / 2)
    assert 90 < macro_f1 < 96
    assert [metric.name for metric in PLUGIN.beside] == [
        "macro F1",
        "false rejects at 1 % false accepts",
    ]


def test_one_false_accept_in_a_hundred_is_let_through():
    scores = [0.7] * 4 + [0.9] + [0.1] * 99
    labels = torch.tensor([0] * 4 + [1] * 100)
    _, rejected = PLUGIN.scores_beside([(logits(scores), labels)])
    # The first word is never missed; of the second, one of a hundred is.
    assert rejected == pytest.approx(100 * (0.0 + 0.01) / 2)


def test_words_of_one_kind_leave_nothing_to_accept_falsely():
    inputs = torch.zeros(4, 2)
    both, same = (StoredRows(inputs, torch.tensor(labels)) for labels in ([0, 1] * 2, [1] * 4))
    splits = DataSplits("made", both, both, same, ("no", "yes"), (2,))
    with pytest.raises(DataError, match="made: test: every sample is of one word"):
        PLUGIN.check_data(splits)
    with pytest.raises(DataError, match="false rejects are undefined: 4 samples"):
        PLUGIN.scores_beside([(logits([0.5] * 4), torch.ones(4, dtype=torch.int64))])
    PLUGIN.check_data(DataSplits("made", both, same, both, ("no", "yes"), (2,)))
