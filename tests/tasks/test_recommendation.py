from __future__ import annotations

import math

import pytest
import torch

from edgespiral.core.batches import DataSplits, InputSpec
from edgespiral.core.errors import DataError, ModelError
from edgespiral.data.tensors import StoredRows
from edgespiral.tasks.recommendation import Recommendation


def query(number, rank, size=15):
    """Logits and targets of a query whose item has `rank` others before it."""
    logits = -torch.arange(size).float()
    label = torch.zeros(size, dtype=torch.int64)
    label[rank] = 1
    return logits, {"label": label, "query": torch.full((size,), number)}


def test_a_hit_is_a_rank_among_the_first_ten():
    pairs = [query(0, 0), query(1, 9), query(2, 10), query(3, 14)]
    assert Recommendation().score_of(pairs) == 50.0
    (gain,) = Recommendation().scores_beside(pairs)
    assert gain == pytest.approx(100 * (1 + 1 / math.log2(11)) / 4)


def test_queries_may_be_cut_by_batches_and_ties_count_against_the_item():
    logits, targets = query(0, 3)
    halves = [
        (logits[part], {name: leaf[part] for name, leaf in targets.items()})
        for part in (slice(7), slice(7, None))
    ]
    assert Recommendation().score_of(halves) == 100.0
    assert Recommendation().score_of([(torch.zeros(15, 1), targets)]) == 0.0
    nothing = {**targets, "label": torch.zeros(15)}
    with pytest.raises(DataError, match="no query has an item to be found"):
        Recommendation().score_of([(logits, nothing)])


def test_losses_are_of_each_pair():
    logits, targets = query(0, 0)
    task = Recommendation()
    losses = task.sample_losses(logits[:, None], targets)
    assert losses[0] == pytest.approx(math.log(2))
    assert task.divergence(logits, logits).tolist() == pytest.approx([0.0] * 15, abs=1e-6)
    assert task.agreement(logits, logits).tolist() == [1.0] * 15
    assert task.rightness(logits, targets)[0] == pytest.approx(0.5)
    teachers = torch.stack([logits[:, None]] * 2)
    near = float(task.distance(logits[:, None], teachers, 2.0))
    assert near < float(task.distance(-logits[:, None], teachers, 2.0))


def splits_of(targets):
    size = 4
    part = StoredRows({"user": torch.zeros(size).long(), "item": torch.arange(size)}, targets)
    specs = {"user": InputSpec((), 1, "int64"), "item": InputSpec((), size, "int64")}
    facts = {"class_names": (), "input_shape": (), "target_shape": None, "inputs": specs}
    return DataSplits("made", part, part, part, **facts)


def test_each_query_has_one_item_to_be_found():
    label, query_of = torch.tensor([1, 0, 1, 0]), torch.tensor([0, 0, 1, 1])
    Recommendation().check_data(splits_of({"label": label, "query": query_of}))
    for wrong in (torch.tensor([1, 1, 1, 0]), torch.tensor([1, 0, 0, 0])):
        with pytest.raises(DataError, match="made: validation: a query has not one item"):
            Recommendation().check_data(splits_of({"label": wrong, "query": query_of}))
    with pytest.raises(DataError, match="made: train: the label of sample 2 is neither 0 nor 1"):
        Recommendation().check_data(
            splits_of({"label": torch.tensor([1, 0, 4, 0]), "query": query_of})
        )
    with pytest.raises(DataError, match="made: train: targets are no dict"):
        Recommendation().check_data(splits_of(label))


def test_outputs_are_a_logit_a_pair():
    Recommendation().check_outputs(torch.zeros(4, 1), 4, None)
    with pytest.raises(ModelError, match=r"returns \(4, 2\), not logits"):
        Recommendation().check_outputs(torch.zeros(4, 2), 4, None)
