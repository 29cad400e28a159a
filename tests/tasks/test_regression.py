from __future__ import annotations

import pytest
import torch
from sklearn.metrics import r2_score

from edgespiral import tasks
from edgespiral.core.batches import DataSplits
from edgespiral.core.errors import DataError, ModelError, UsageError
from edgespiral.data.tensors import StoredRows
from edgespiral.tasks.regression import Regression

OUTPUTS, TARGETS = torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([1.5, 2.0, 3.0])


def splits_of(targets, **more):
    part = StoredRows(torch.zeros(len(targets), 2), targets)
    facts = {"class_names": (), "input_shape": (2,), "target_shape": None} | more
    return DataSplits("made", part, part, part, **facts)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mae", 0.5),
        ("mse", 1.25 / 3),
        ("rmse", (1.25 / 3) ** 0.5),
        ("r2", 0.0),
    ],
)
def test_the_metric_is_over_all_numbers_however_they_are_batched(name, expected):
    task = tasks.load(f"regression?metric={name}")
    if name == "r2":
        expected = 1 - (1.25 / 3) / float(TARGETS.var(correction=0))
    whole = task.score_of([(OUTPUTS, TARGETS)])
    parts = task.score_of(zip(OUTPUTS.split(1), TARGETS.split(1), strict=True))
    assert whole == pytest.approx(expected)
    assert parts == pytest.approx(expected)
    assert task.metric.higher_is_better == (name == "r2")


def test_losses_are_smooth_l1_and_distances_go_to_the_mean_of_the_teachers():
    task = Regression()
    assert task.sample_losses(OUTPUTS, TARGETS).tolist() == pytest.approx([0.125, 0.0, 0.5])
    teachers = torch.stack([OUTPUTS + 1, OUTPUTS - 1])
    assert float(task.distance(OUTPUTS, teachers, 4.0)) == pytest.approx(0.0)
    assert task.divergence(OUTPUTS, OUTPUTS).tolist() == [0.0] * 3
    assert torch.equal(task.targets_of(OUTPUTS), OUTPUTS)


def test_bad_targets_are_refused_with_their_place():
    with pytest.raises(DataError, match="made: train: targets are int64"):
        Regression().check_data(splits_of(torch.arange(3), class_names=("a",), target_shape=()))
    with pytest.raises(DataError, match="made: train: the target of sample 2 is NaN or infinite"):
        Regression().check_data(splits_of(torch.tensor([[0.0], [1.0], [torch.nan]])))
    with pytest.raises(DataError, match="R2 is undefined"):
        Regression("r2").check_data(splits_of(torch.ones(3, 1)))
    Regression().check_data(splits_of(torch.ones(3, 1)))


@pytest.mark.parametrize(
    ("outputs", "told"),
    [
        ({"age": OUTPUTS}, "a dict of age"),
        (torch.zeros(3, 1, dtype=torch.int64), "a int64 tensor"),
        (torch.zeros(3, 4), r"a sample's targets are \(1,\)"),
        (torch.full((3, 1), torch.nan), "NaN"),
        (torch.zeros(1), "for 3 samples"),
    ],
)
def test_other_outputs_are_refused(outputs, told):
    with pytest.raises(ModelError, match=told):
        Regression().check_outputs(outputs, 3, splits_of(torch.zeros(3, 1)))
    Regression().check_outputs(OUTPUTS[:, 0], 3, splits_of(torch.zeros(3, 1)))


def test_options_are_refused_with_the_nearest():
    with pytest.raises(UsageError, match=r"unknown metric 'rmsee'; did you mean rmse"):
        tasks.load("regression?metric=rmsee")
    with pytest.raises(UsageError, match="unknown option of the task 'metrics'"):
        tasks.load("regression?metrics=mae")
    with pytest.raises(UsageError, match="takes no option metric"):
        tasks.load("classification?metric=mae")


def test_the_last_target_of_a_large_part_is_looked_at_too():
    targets = torch.zeros(3000, 1)
    targets[-1] = torch.nan
    with pytest.raises(DataError, match="the target of sample 2999 is NaN or infinite"):
        Regression().check_data(splits_of(targets))
    # It varies only beyond the first thousand.
    Regression("r2").check_data(splits_of(torch.arange(3000)[:, None].clamp_min(2000).float()))


def test_r2_is_not_defined_for_targets_that_are_the_same():
    with pytest.raises(DataError, match="R2 is undefined: all 3 targets are the same"):
        Regression("r2").score_of([(OUTPUTS, torch.ones(3))])


@pytest.mark.parametrize("shape", [(4,), (4, 1), (4, 6, 5), (1, 6, 5)])
def test_r2_of_several_targets_is_the_mean_over_their_columns(shape):
    draw = torch.Generator().manual_seed(0)
    offset = torch.arange(shape[0]).reshape(-1, *[1] * (len(shape) - 1))
    targets = torch.randn(20, *shape, generator=draw) + 100 * offset
    outputs = targets + torch.randn(20, *shape, generator=draw)
    parts = zip(outputs.split(7), targets.split(7), strict=True)
    columns = (
        values.double().movedim(1, -1).reshape(-1, shape[0]).numpy()
        for values in (targets, outputs)
    )
    assert Regression("r2").score_of(parts) == pytest.approx(r2_score(*columns))


def test_means_far_apart_are_no_r2():
    targets = torch.tensor([[0.0, 99.0], [2.0, 101.0]])
    means = targets.mean(0).expand(2, 2)
    assert Regression("r2").score_of([(means, targets)]) == 0.0
    # A squared error needs no column by itself.
    assert Regression("mse").score_of([(means, targets)]) == 1.0


def test_a_column_that_never_changes_has_no_r2():
    targets = torch.stack([torch.arange(5.0), torch.full((5,), 0.1)], 1)
    told = "number 2 of 2 is the same in all targets"
    with pytest.raises(DataError, match=f"made: train: {told}, so R2 is undefined"):
        Regression("r2").check_data(splits_of(targets))
    with pytest.raises(DataError, match=f"R2 is undefined: {told}"):
        Regression("r2").score_of([(targets, targets)])
    Regression().check_data(splits_of(targets))
