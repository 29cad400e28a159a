import random

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, TensorDataset

from edgespiral.core.errors import DataError
from edgespiral.data.dataset import DatasetSource


class Noisy(Dataset):
    """Draws from all three global generators, as augmentations do."""

    def __len__(self):
        return 20

    def __getitem__(self, index):
        drawn = [float(torch.rand(())), random.random(), np.random.random()]
        return torch.tensor([[[index, *drawn]]], dtype=torch.float32), index % 3


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("first", [0, 2, 9])
def test_a_resumed_pass_goes_on_exactly(workers, first):
    whole = list(DatasetSource(Noisy()).epoch(batch_size=3, seed=5))
    resumed = DatasetSource(Noisy(), workers=workers)
    rest = list(resumed.epoch(batch_size=3, seed=5, first_batch=first))
    assert len(whole) == 6
    assert len(rest) == max(0, 6 - first)
    for (inputs, labels), (expected, expected_labels) in zip(rest, whole[first:], strict=True):
        assert torch.equal(inputs, expected)
        assert torch.equal(labels, expected_labels)


def test_batches_and_seeds_draw_differently():
    batches = [
        inputs[0, 0, 0, 1:]
        for seed in (1, 2)
        for inputs, _ in DatasetSource(Noisy()).epoch(batch_size=5, seed=seed)
    ]
    assert len({tuple(drawn.tolist()) for drawn in batches}) == len(batches)


def test_the_stored_order_keeps_the_short_batch_and_shows_the_plain_set():
    plain = TensorDataset(torch.zeros(7, 1, 2, 2), torch.arange(7))
    source = DatasetSource(plain, Noisy())
    labels = [labels.tolist() for _, labels in source.epoch(batch_size=3)]
    assert labels == [[0, 1, 2], [3, 4, 5], [6]]


def test_unaugmented_shuffled_passes_show_the_plain_set():
    plain = TensorDataset(torch.arange(7.0).reshape(7, 1, 1, 1), torch.arange(7))
    source = DatasetSource(plain, Noisy()).unaugmented()
    [(inputs, labels)] = source.epoch(batch_size=7, seed=1)
    assert torch.equal(inputs.flatten(), labels.float())
    assert sorted(labels.tolist()) == list(range(7))
    assert labels.tolist() != list(range(7))


def test_a_pass_leaves_the_global_generators_alone():
    def draw():
        return float(torch.rand(())), random.random(), np.random.random()

    def seed():
        torch.manual_seed(0), random.seed(0), np.random.seed(0)

    seed()
    expected = draw()
    seed()
    list(DatasetSource(Noisy()).epoch(batch_size=3, seed=5))
    assert draw() == expected


def test_samples_of_different_shapes_are_one_line():
    ragged = [(torch.zeros(1, size, size), 0) for size in (3, 4)]
    with pytest.raises(DataError, match="do not form a batch") as caught:
        list(DatasetSource(ragged).epoch(batch_size=2))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("sample", [torch.zeros(1, 2, 2), (torch.zeros(1, 2, 2),), (1.0, None)])
def test_samples_without_labels_are_told(sample):
    with pytest.raises(DataError, match="samples have no labels"):
        list(DatasetSource([sample, sample, sample]).epoch(batch_size=3))


class Noted(Dataset):
    """Numbers, of which some are drawn at random, and which of them were read."""

    def __init__(self):
        self.read = []

    def __len__(self):
        return 12

    def __getitem__(self, index):
        self.read.append(index)
        return torch.tensor([float(index), float(torch.rand(()))]), index % 2


def test_a_share_reads_its_samples_of_each_batch_and_no_others():
    whole, noted = DatasetSource(Noted()), Noted()
    rows = torch.tensor([1, 3])
    share = DatasetSource(noted).share(rows)
    batches = list(whole.epoch(batch_size=4, seed=5, first_batch=1))
    own = list(share.epoch(batch_size=4, seed=5, first_batch=1))
    assert len(own) == len(batches) == 2
    for (inputs, targets), (all_inputs, all_targets) in zip(own, batches, strict=True):
        assert torch.equal(inputs[:, 0], all_inputs[rows, 0])
        assert torch.equal(targets, all_targets[rows])
    assert noted.read == [int(index) for inputs, _ in own for index in inputs[:, 0]]
    # In stored order, and so for scores, a share is the whole.
    assert len(next(iter(share.epoch(batch_size=4)))[1]) == 4


def test_shares_draw_otherwise_and_each_the_same_again():
    shares = [DatasetSource(Noted()).share(torch.tensor(rows)) for rows in ([0, 1], [2, 3])]
    first, second = (next(iter(s.epoch(batch_size=4, seed=5)))[0][:, 1] for s in shares)
    assert not torch.equal(first, second)
    assert torch.equal(second, next(iter(shares[1].epoch(batch_size=4, seed=5)))[0][:, 1])
