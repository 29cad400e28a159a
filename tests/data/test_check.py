from dataclasses import replace

import pytest
import torch
from torch.utils.data import Dataset, TensorDataset

from edgespiral import data
from edgespiral.core.errors import DataError
from edgespiral.data.dataset import DatasetSource


def source(count=32, inputs=None, labels=None):
    inputs = torch.randn(count, 1, 8, 8) if inputs is None else inputs
    labels = torch.arange(len(inputs)) % 10 if labels is None else labels
    return DatasetSource(TensorDataset(inputs, labels))


@pytest.fixture
def splits():
    return data.load("digits")


def test_bundled_data_is_good(splits):
    data.check(splits, batch_size=128)


class Pairs(list, Dataset):
    """Samples of two inputs."""


BAD = {
    "fewer than a batch of 16": source(10),
    "every training sample has the same label": source(labels=torch.zeros(32, dtype=torch.int64)),
    "labels run from 1 to 10": source(labels=1 + torch.arange(32) % 10),
    "labels run from -1": source(labels=torch.arange(32) % 10 - 1),
    "labels are torch.float32": source(labels=torch.rand(32)),
    "NaN": source(inputs=torch.full((32, 1, 8, 8), torch.nan)),
    "declared as": source(inputs=torch.zeros(32, 3, 8, 8)),
    r"inputs are a tuple of 2: \(1, 8, 8\), \(3,\), declared as one tensor": DatasetSource(
        Pairs([((torch.zeros(1, 8, 8), torch.zeros(3)), n % 2) for n in range(32)])
    ),
    "not torch.float32": source(inputs=torch.zeros(32, 1, 8, 8, dtype=torch.uint8)),
}


@pytest.mark.parametrize("problem", BAD)
def test_bad_training_parts(splits, problem):
    with pytest.raises(DataError, match=problem) as caught:
        data.check(replace(splits, train=BAD[problem]), batch_size=16)
    assert "digits" in str(caught.value)


def test_samples_that_hold_nothing(splits):
    empty = source(inputs=torch.zeros(32, 6, 0))
    parts = dict.fromkeys(("train", "validation", "test"), empty)
    with pytest.raises(
        DataError, match=r"digits: train: inputs are \(6, 0\), which holds no value"
    ):
        data.check(replace(splits, input_shape=(6, 0), **parts), batch_size=16)


def test_bad_other_parts(splits):
    with pytest.raises(DataError, match="digits: validation: no samples"):
        data.check(replace(splits, validation=source(0)), batch_size=16)
    bad = source(inputs=torch.full((32, 1, 8, 8), torch.inf))
    with pytest.raises(DataError, match="digits: test: inputs have NaN or infinite"):
        data.check(replace(splits, test=bad), batch_size=16)


def test_token_ids_are_whole_and_below_their_count(splits):
    tokens = torch.arange(32 * 5).view(32, 5) % 7
    text = replace(splits, input_shape=(5,), token_count=7, train=source(inputs=tokens))
    text = replace(text, validation=text.train, test=text.train)
    data.check(text, batch_size=16)
    with pytest.raises(DataError, match="token ids run from 0 to 6, declared as below 6"):
        data.check(replace(text, token_count=6), batch_size=16)
    with pytest.raises(DataError, match=r"inputs are torch.int64, not torch.float32"):
        data.check(replace(text, token_count=None), batch_size=16)


def test_one_class(splits):
    with pytest.raises(DataError, match="one class only"):
        data.check(replace(splits, class_names=("zero",)), batch_size=16)


def test_data_without_labels(splits):
    class Unlabelled:
        def __len__(self):
            return 32

        def epoch(self, *, batch_size, seed=None, first_batch=0):
            yield torch.zeros(batch_size, 1, 8, 8), None

    with pytest.raises(DataError, match="digits: train: samples have no labels; training, scores"):
        data.check(replace(splits, train=Unlabelled()), batch_size=16)
