import numpy as np
import pytest
import torch

from edgespiral.core.errors import DataError
from edgespiral.data.stratified import parts_of, stratified
from edgespiral.data.tensors import Normalisation, TensorSource


def source(labels, shift=0.0):
    """Samples whose value is their place."""
    labels = torch.tensor(labels)
    inputs = torch.arange(len(labels), dtype=torch.float32).view(-1, 1, 1, 1) + shift
    plain = Normalisation(torch.zeros(1), torch.ones(1))
    return TensorSource(inputs, labels, plain)


def places(sampled):
    return [int(sample) for sample in sampled.inputs]


def test_classes_are_in_proportion_and_in_stored_order():
    labels = [0] * 600 + [1] * 300 + [2] * 100
    found = stratified(source(labels), 100, seed=0, where="x")
    assert np.bincount(found.labels).tolist() == [60, 30, 10]
    assert places(found) == sorted(places(found))
    assert all(
        labels[place] == label for place, label in zip(places(found), found.labels, strict=True)
    )


def test_a_rare_class_is_never_left_out():
    found = stratified(source([0] * 998 + [1, 1]), 10, seed=0, where="x")
    assert np.bincount(found.labels).tolist() == [9, 1]


def test_the_seed_decides_and_the_hash_tells():
    labels = list(range(10)) * 60
    same = [stratified(source(labels), 50, seed=3, where="x") for _ in range(2)]
    other = stratified(source(labels), 50, seed=4, where="x")
    changed = stratified(source(labels, shift=0.5), 50, seed=3, where="x")
    assert places(same[0]) == places(same[1]) != places(other)
    assert len({s.sha256 for s in (*same, other, changed)}) == 3


def test_all_samples_can_be_taken():
    labels = [0] * 5 + [1] * 3 + [2]
    assert places(stratified(source(labels), 9, seed=0, where="x")) == list(range(9))


def test_more_than_there_are_is_refused():
    with pytest.raises(DataError, match="x: 10 samples are asked for, there are 9; lower"):
        stratified(source([0, 1, 2] * 3), 10, seed=0, where="x")


def test_fewer_than_the_classes_is_refused():
    with pytest.raises(DataError, match="2 samples cannot hold each of 3 classes"):
        stratified(source([0, 1, 2] * 3), 2, seed=0, where="x")


@pytest.mark.parametrize("count", [1, 3, 8, 20, 99, 100, 500])
def test_parts_are_from_all_over_the_split_and_no_sample_comes_twice(count):
    parts = list(parts_of(source([0] * 100), count, parts=8))
    shown = [int(sample) for part in parts for sample, _ in part]
    assert len(shown) == len(set(shown)) == min(count, 100)
    assert shown == sorted(shown)
    if count >= 8:
        assert shown[0] == 0
        assert shown[-1] >= 87
