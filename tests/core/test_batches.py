from __future__ import annotations

import torch
from torch.utils.data import TensorDataset

from edgespiral.core.batches import DataSplits, first_inputs
from edgespiral.data.dataset import DatasetSource


class Stored:
    """A supply that has no random views."""

    def __len__(self):
        return 4

    def epoch(self, *, batch_size, seed=None, first_batch=0):
        yield torch.zeros(batch_size, 1, 2, 2), torch.zeros(batch_size, dtype=torch.int64)


def splits(train):
    return DataSplits("mine", train, Stored(), Stored(), ("a", "b"), (1, 2, 2))


def test_training_samples_alone_are_taken_as_they_are_stored():
    labels = torch.zeros(4, dtype=torch.int64)
    zeros, ones = (TensorDataset(torch.full((4, 1, 2, 2), v), labels) for v in (0.0, 1.0))
    augmented = splits(DatasetSource(zeros, ones))
    plain = augmented.unaugmented()
    for found, value in ((augmented, 1.0), (plain, 0.0)):
        inputs, _ = next(iter(found.train.epoch(batch_size=4, seed=0)))
        assert torch.equal(inputs, torch.full((4, 1, 2, 2), value))
    assert (plain.validation, plain.test) == (augmented.validation, augmented.test)


def test_a_supply_without_random_views_is_left_alone():
    stored = splits(Stored())
    assert stored.unaugmented() is stored


def test_the_first_inputs_are_of_the_validation_part():
    inputs = first_inputs(splits(Stored()), 3)
    assert inputs.shape == (3, 1, 2, 2)
