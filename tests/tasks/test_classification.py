import pytest
import torch
from torch.nn import functional as F
from torch.utils.data import TensorDataset

from edgespiral.data.dataset import DatasetSource
from edgespiral.tasks.classification import CLASSIFICATION, correct_count

LOGITS = torch.tensor([[2.0, 0.0, 1.0], [0.0, 1.0, 3.0], [1.0, 5.0, 0.0], [4.0, 1.0, 1.0]])
LABELS = torch.tensor([0, 1, 1, 2])


def test_loss_is_the_mean_negative_log_probability():
    by_hand = -LOGITS.softmax(dim=1)[torch.arange(4), LABELS].log().mean()
    assert CLASSIFICATION.loss(LOGITS, LABELS) == pytest.approx(float(by_hand), rel=1e-6)


def test_label_smoothing_mixes_in_the_uniform_distribution():
    uniform = -F.log_softmax(LOGITS, dim=1).mean()
    expected = 0.9 * CLASSIFICATION.loss(LOGITS, LABELS) + 0.1 * uniform
    smoothed = CLASSIFICATION.loss(LOGITS, LABELS, label_smoothing=0.1)
    assert float(smoothed) == pytest.approx(float(expected), rel=1e-6)


def test_half_precision_logits_lose_nothing_in_the_loss():
    half = LOGITS.bfloat16()
    assert CLASSIFICATION.loss(half, LABELS).dtype == torch.float32
    assert CLASSIFICATION.loss(half, LABELS) == CLASSIFICATION.loss(half.float(), LABELS)


def test_top1_counts_in_percent():
    assert correct_count(LOGITS, LABELS) == 2


def test_losses_are_one_a_sample():
    losses = CLASSIFICATION.sample_losses(LOGITS, LABELS)
    assert losses.shape == (4,)
    assert float(losses.mean()) == pytest.approx(float(CLASSIFICATION.loss(LOGITS, LABELS)))


def test_whatever_predicts_is_scored_by_the_same_code():
    source = DatasetSource(TensorDataset(LOGITS, LABELS), fixed=True)
    for batch_size in (1, 3, 4):
        assert CLASSIFICATION.score(lambda x: x, source, batch_size=batch_size) == 50.0
    assert CLASSIFICATION.score(lambda x: -x, source) == 0.0


def test_a_rare_class_that_is_never_named_shows_in_the_macro_f1():
    logits = torch.tensor([[2.0, 0.0]] * 4)
    labels = torch.tensor([0, 0, 0, 1])
    source = TensorDataset(logits, labels)
    predicted = [(logits[:2], labels[:2]), (logits[2:], labels[2:])]
    assert CLASSIFICATION.score_of(predicted) == 75.0
    # F1 of the first class is 6 / 7, of the second 0.
    assert CLASSIFICATION.scores_beside(predicted) == (pytest.approx(100 * 3 / 7),)
    score, [figure] = CLASSIFICATION.scored(lambda inputs: inputs, DatasetSource(source))
    assert (score, figure.metric.name) == (75.0, "macro F1")
    assert figure.value == pytest.approx(100 * 3 / 7)
