from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from edgespiral import tasks
from edgespiral.core.batches import DataSplits
from edgespiral.core.errors import DataError, ModelError
from edgespiral.data.tensors import StoredRows
from edgespiral.tasks.binary import Binary, area_error, calibration_error

LOGITS, LABELS = torch.tensor([-2.0, 1.0, 0.5, 3.0]), torch.tensor([0, 0, 1, 1])


def splits_of(targets, names=("no", "yes")):
    part = StoredRows(torch.zeros(len(targets), 2), targets)
    return DataSplits("made", part, part, part, class_names=names, input_shape=(2,))


@pytest.mark.parametrize(
    "outputs",
    [LOGITS, LOGITS[:, None], torch.stack([-LOGITS / 2, LOGITS / 2], 1)],
    ids=["one number", "one column", "two logits"],
)
def test_the_area_is_the_share_of_pairs_in_order_in_whatever_form_logits_come(outputs):
    pairs = list(zip(outputs.split(1), LABELS.split(1), strict=True))
    assert Binary().score_of(pairs) == 75.0
    assert Binary().loss(outputs, LABELS) == pytest.approx(float(Binary().loss(LOGITS, LABELS)))


def test_log_loss_and_calibration_error_are_reported_beside():
    loss, error = Binary().scores_beside([(LOGITS, LABELS)])
    expected = torch.nn.functional.binary_cross_entropy_with_logits(LOGITS, LABELS.float())
    assert loss == pytest.approx(float(expected))
    assert 0 < error < 100
    assert [metric.name for metric in Binary.beside] == ["log loss", "calibration error"]


def test_a_calibrated_answer_has_no_calibration_error():
    shares = np.array([0.25] * 4 + [0.75] * 4)
    assert calibration_error(shares, np.array([0, 0, 0, 1, 1, 1, 1, 0.0])) == pytest.approx(0.0)
    assert calibration_error(shares, np.ones(8)) == pytest.approx(0.5)


def test_balanced_weights_make_both_classes_count_alike():
    splits = splits_of(torch.tensor([1] + [0] * 9))
    task, same = tasks.load("binary?weights=balanced").fitted(splits)
    assert same is splits
    losses = task.sample_losses(torch.zeros(10), torch.tensor([1] + [0] * 9))
    assert float(losses[0]) == pytest.approx(float(losses[1:].sum()))
    # A weighted mean, so that the rate need not be another.
    both = Binary().loss(torch.zeros(2), torch.tensor([0, 1]))
    assert float(task.loss(torch.zeros(2), torch.tensor([0, 1]))) == pytest.approx(float(both))
    assert Binary().fitted(splits)[0].sample_losses(torch.zeros(1), torch.ones(1)) < losses[0]


def test_distances_and_decisions_are_of_the_probability():
    task = Binary()
    assert task.divergence(LOGITS, LOGITS).tolist() == pytest.approx([0.0] * 4, abs=1e-6)
    assert task.agreement(LOGITS, -LOGITS).tolist() == [0.0] * 4
    assert task.rightness(LOGITS, LABELS)[3] == pytest.approx(float(torch.sigmoid(LOGITS[3])))
    two = torch.stack([LOGITS[:, None]] * 2)
    near = float(task.distance(LOGITS[:, None], two, 2.0))
    assert near < float(task.distance(-LOGITS[:, None], two, 2.0))
    assert task.targets_of(LOGITS).tolist() == [0, 1, 1, 1]


@pytest.mark.parametrize(
    ("targets", "names", "told"),
    [
        (torch.ones(4).long(), ("no", "yes"), "train: every sample is of class 1, so ROC AUC"),
        (torch.arange(3), ("a", "b", "c"), "has 3 classes, not two"),
        (torch.tensor([0.0, 1.0, 0.5]), (), "train: the target of sample 2 is 0.5"),
        (torch.zeros(3, 2), (), "train: targets are not one number a sample"),
    ],
)
def test_bad_labels_are_refused_before_anything_is_trained(targets, names, told):
    with pytest.raises(DataError, match=f"made: {told}"):
        Binary().check_data(splits_of(targets, names))
    with pytest.raises(DataError, match="undefined: 1 samples of one class"):
        Binary().score_of([(LOGITS[:1], LABELS[:1])])


def test_outputs_are_one_logit_or_two():
    splits = splits_of(LABELS)
    Binary().check_data(splits)
    for outputs in (LOGITS, LOGITS[:, None], torch.zeros(4, 2)):
        Binary().check_outputs(outputs, 4, splits)
    with pytest.raises(ModelError, match=r"a float32 tensor \(4, 3\)"):
        Binary().check_outputs(torch.zeros(4, 3), 4, splits)
    with pytest.raises(ModelError, match="NaN"):
        Binary().check_outputs(torch.full((4,), torch.nan), 4, splits)


@pytest.mark.slow
def test_the_error_of_an_area_is_that_of_many_drawn_splits():
    generator = np.random.default_rng(0)
    labels = np.array([1] * 30 + [0] * 300)
    # Scores of two exponential distributions, for which the formula is exact.
    areas = [roc_auc_score(labels, generator.exponential(1 + 2.0 * labels)) for _ in range(2000)]
    told = area_error(100 * float(np.mean(areas)), [torch.tensor(labels)])
    assert told == pytest.approx(100 * np.std(areas), rel=0.1)
    assert area_error(100.0, [torch.tensor(labels)]) == 0.0


def test_errors_name_the_line_where_the_data_knows_it():
    part = StoredRows(torch.zeros(2, 2), torch.tensor([0, 3]), ["people.csv:2", "people.csv:3"])
    splits = DataSplits("made", part, part, part, class_names=("no", "yes"), input_shape=(2,))
    with pytest.raises(DataError, match=r"made: train: the target of people\.csv:3 is 3"):
        Binary().check_data(splits)
