from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from edgespiral import tasks
from edgespiral.core.batches import DataSplits, InputSpec
from edgespiral.core.errors import DataError, ModelError
from edgespiral.data.tensors import StoredRows
from edgespiral.tasks.anomaly import Anomaly

ROWS, ODD = (
    torch.tensor([[0.0, 0.0], [1.0, 1.0], [2.0, 0.0], [0.0, 3.0]]),
    torch.tensor([0, 0, 1, 1]),
)


def splits_of(targets):
    part = StoredRows(ROWS, targets)
    return DataSplits(
        "made", part, part, part, class_names=("normal", "odd"), input_shape=(2,),
        is_labelled=targets is not None,
    )  # fmt: skip


def batches(splits):
    return list(splits.validation.epoch(batch_size=3))


def test_inputs_become_targets_beside_the_labels():
    task, splits = Anomaly().fitted(splits_of(ODD))
    (inputs, targets), _ = batches(splits)
    assert torch.equal(targets["inputs"], inputs)
    assert targets["anomaly"].tolist() == [0, 0, 1]
    task.check_data(splits)
    assert splits.train.order(3).tolist() == StoredRows(ROWS, ODD).order(3).tolist()


def test_the_area_is_of_the_error_of_reconstruction():
    _, splits = Anomaly().fitted(splits_of(ODD))
    # Errors 0, 1, 2 and 4.5: the mean of the squares of two numbers.
    pairs = [(torch.zeros_like(inputs), targets) for inputs, targets in batches(splits)]
    assert Anomaly().score_of(pairs) == 100.0
    assert Anomaly().sample_losses(*pairs[0]).tolist() == [0.0, 1.0, 2.0]
    wrong = [(inputs, {**targets, "anomaly": 1 - targets["anomaly"]}) for inputs, targets in pairs]
    assert Anomaly().score_of([(torch.zeros_like(a), b) for a, b in wrong]) == 0.0
    assert tasks.load("anomaly?metric=mse").score_of(pairs) == pytest.approx(7.5 / 4)


def test_no_label_is_needed_for_the_error_itself():
    task, splits = tasks.load("anomaly?metric=mse").fitted(splits_of(None))
    assert splits.is_labelled
    task.check_data(splits)
    assert list(batches(splits)[0][1]) == ["inputs"]
    with pytest.raises(DataError, match=r"made: validation: has no labels.*metric=mse"):
        Anomaly().check_data(splits)


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (torch.zeros(4).long(), "every sample is normal, so ROC AUC is undefined"),
        (torch.tensor([0, 1, 2, 0]), "the label of sample 2 is neither 0 nor 1"),
    ],
)
def test_bad_labels_are_refused(labels, told):
    _, splits = Anomaly().fitted(splits_of(labels))
    with pytest.raises(DataError, match=f"made: validation: {told}"):
        Anomaly().check_data(splits)


def test_outputs_have_the_shape_of_inputs():
    splits = splits_of(ODD)
    Anomaly().check_outputs(ROWS, 4, splits)
    with pytest.raises(ModelError, match=r"returns \(4, 1\), and its inputs are \(4, 2\)"):
        Anomaly().check_outputs(ROWS[:, :1], 4, splits)
    teachers = torch.stack([ROWS + 1, ROWS - 1])
    assert float(Anomaly().distance(ROWS, teachers, 4.0)) == pytest.approx(0.0)


def test_several_inputs_are_refused():
    part = StoredRows((ROWS, ROWS), ODD)
    specs = (InputSpec((2,)), InputSpec((2,)))
    splits = DataSplits(
        "made", part, part, part, class_names=("normal", "odd"), input_shape=(), inputs=specs
    )
    with pytest.raises(DataError, match="made: has several inputs a sample"):
        Anomaly().check_data(Anomaly().fitted(splits)[1])


@pytest.mark.parametrize(
    ("names", "is_refused"),
    [
        (("defect", "good"), True),
        (("Abnormal", "Normal"), True),
        (("crack", "OK"), True),
        (("bad", "sound"), True),
        (("0-good", "1-defect"), False),
        (("good", "scratch"), False),
    ],
)
def test_classes_whose_names_say_that_1_is_normal_are_refused(names, is_refused):
    task, splits = Anomaly().fitted(replace(splits_of(ODD), class_names=names))
    tasks.load("anomaly?metric=mse").check_data(splits)
    if not is_refused:
        task.check_data(splits)
        return
    told = f"made: class 1, '{names[1]}', would be the anomaly, and class 0, '{names[0]}', normal"
    with pytest.raises(DataError, match=told):
        task.check_data(splits)
