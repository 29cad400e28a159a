from __future__ import annotations

import pytest
import torch

from edgespiral import tasks
from edgespiral.core.batches import DataSplits
from edgespiral.core.errors import DataError, ModelError
from edgespiral.data.tensors import StoredRows
from edgespiral.tasks.multilabel import Multilabel, bernoulli_divergence

LABELS = torch.tensor([[1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 0]])
# The first label is ranked right; the second has its samples first and third; the third has none.
LOGITS = torch.tensor([[3.0, -4.0, 1.0], [-2.0, 2.0, 1.0], [2.0, -1.0, 1.0], [-3.0, 0.5, 1.0]])


def splits_of(targets):
    part = StoredRows(torch.zeros(len(targets), 2), targets)
    facts = {"class_names": (), "input_shape": (2,), "target_shape": None}
    return DataSplits("made", part, part, part, **facts)


def test_average_precision_is_the_mean_over_labels_that_some_sample_has():
    expected = 100 * (1.0 + (1 / 1 + 2 / 3) / 2) / 2
    pairs = list(zip(LOGITS.split(1), LABELS.split(1), strict=True))
    assert Multilabel().score_of(pairs) == pytest.approx(expected)


def test_macro_f1_is_at_one_half():
    task = tasks.load("multilabel?metric=macro-f1")
    assert task.metric.name == "macro F1"
    # Of the second label one of two is told, beside one that is none.
    assert task.score_of([(LOGITS, LABELS)]) == pytest.approx(100 * (1.0 + 0.5) / 2)


def test_losses_and_distances_are_those_of_each_label():
    task = Multilabel()
    losses = task.sample_losses(LOGITS, LABELS)
    assert losses[0] == pytest.approx(
        float(torch.tensor([0.0486, 0.0181, 1.3133]).mean()), abs=1e-3
    )
    assert task.divergence(LOGITS, LOGITS).tolist() == pytest.approx([0.0] * 4, abs=1e-6)
    near = float(task.distance(LOGITS, torch.stack([LOGITS, LOGITS]), 2.0))
    assert near < float(task.distance(-LOGITS, torch.stack([LOGITS, LOGITS]), 2.0))
    assert task.agreement(LOGITS, -LOGITS).tolist() == [0.0] * 4
    assert task.rightness(LOGITS, LABELS).tolist() == pytest.approx([2 / 3, 2 / 3, 1 / 3, 1 / 3])
    assert task.chance(LABELS) == pytest.approx((0.5 + 0.5 + 1.0) / 3)
    assert task.decisions(LABELS) == 12
    assert torch.equal(task.targets_of(LOGITS), (LOGITS > 0).float())


def test_divergence_is_that_of_probabilities():
    outputs, reference = torch.tensor([0.0]), torch.tensor([2.0])
    share = float(torch.sigmoid(reference))
    expected = share * torch.log(torch.tensor(share / 0.5)) + (1 - share) * torch.log(
        torch.tensor((1 - share) / 0.5)
    )
    assert float(bernoulli_divergence(outputs, reference)) == pytest.approx(float(expected))


@pytest.mark.parametrize(
    ("targets", "told"),
    [
        (torch.zeros(4), r"targets are float32 \(\), not \(labels,\)"),
        (torch.tensor([[1.0, 0.0], [0.0, 2.0]]), "labels of sample 1 are not 0 or 1"),
        (torch.zeros(4, 2), "no sample has a label, so mAP is undefined"),
    ],
)
def test_bad_labels_are_refused_with_their_place(targets, told):
    with pytest.raises(DataError, match=f"made: train: {told}"):
        Multilabel().check_data(splits_of(targets))


def test_outputs_are_a_logit_a_label():
    splits = splits_of(LABELS)
    Multilabel().check_data(splits)
    Multilabel().check_outputs(LOGITS, 4, splits)
    with pytest.raises(ModelError, match=r"returns \(4, 2\), not logits of \(4, 3\)"):
        Multilabel().check_outputs(LOGITS[:, :2], 4, splits)
    with pytest.raises(ModelError, match="a tuple of 1"):
        Multilabel().check_outputs((LOGITS,), 4, splits)
