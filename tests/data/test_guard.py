from dataclasses import replace

import pytest
import torch
from torch.utils.data import Dataset, TensorDataset

from edgespiral import data
from edgespiral.core.batches import AugmentedSource, StoredSource
from edgespiral.core.errors import DataError
from edgespiral.core.text import is_printable
from edgespiral.data.dataset import DatasetSource
from edgespiral.data.guard import Guarded, guarded

COUNT = 1500
LATE = 1400


def inputs():
    return torch.rand(COUNT, 1, 8, 8)


def labels():
    return torch.arange(COUNT) % 10


def changed(tensor, value):
    tensor = tensor.clone()
    tensor[LATE] = value
    return tensor


@pytest.fixture
def splits():
    return data.load("digits")


def with_part(splits, part, source):
    return guarded(replace(splits, **{part: source}))


BAD = {
    "inputs have NaN or infinite values": (changed(inputs(), torch.nan), labels()),
    "labels run from 0 to 10, but 10 classes allow 0 to 9": (inputs(), changed(labels(), 10)),
    "labels run from -1 to 9": (inputs(), changed(labels(), -1)),
}


@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize("part", ["train", "validation", "test"])
@pytest.mark.parametrize("problem", BAD)
def test_a_late_sample_is_met_when_it_is_used(splits, problem, part, seed):
    source = DatasetSource(TensorDataset(*BAD[problem]))
    bad = with_part(splits, part, source)
    with pytest.raises(DataError, match=f"digits: {part}: {problem}.*, first at sample {LATE}"):
        list(getattr(bad, part).epoch(batch_size=100, seed=seed))


def test_the_check_before_a_run_leaves_late_samples_to_their_use(splits):
    late = DatasetSource(TensorDataset(*BAD["labels run from -1 to 9"]))
    data.check(with_part(splits, "validation", late), batch_size=100)


def test_sums_that_overflow_are_no_fault(splits):
    large = torch.full((COUNT, 1, 8, 8), 3e38)
    part = with_part(splits, "test", DatasetSource(TensorDataset(large, labels()))).test
    assert len(list(part.epoch(batch_size=100))) == 15


def test_token_ids_beyond_their_count_are_named(splits):
    tokens = changed(torch.arange(COUNT * 5).view(COUNT, 5) % 7, 7)
    text = replace(splits, input_shape=(5,), token_count=7)
    source = DatasetSource(TensorDataset(tokens, labels()))
    with pytest.raises(DataError, match=f"declared as below 7, first at sample {LATE}"):
        list(with_part(replace(text, train=source), "test", source).test.epoch(batch_size=100))


class Failing(Dataset):
    def __init__(self, error):
        self.error = error

    def __len__(self):
        return COUNT

    def __getitem__(self, index):
        if index == LATE:
            raise self.error
        return torch.zeros(1, 8, 8), index % 10


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    "error",
    [
        OSError("image file is truncated\n(3 bytes)"), KeyError("label"), SystemExit(3),
        StopIteration(), ValueError(), RuntimeError("\x1b[2Jcleared"),
    ],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_whatever_a_sample_raises_is_told_with_its_place(splits, error, workers):
    source = DatasetSource(Failing(error), workers=workers, where="mine.py:load: train")
    part = with_part(splits, "train", source).train
    name = type(error).__name__
    words = f"mine.py:load: train: sample {LATE} cannot be read: {name}"
    with pytest.raises(DataError, match=words) as caught:
        list(part.epoch(batch_size=100, seed=1))
    assert is_printable(str(caught.value))
    assert "Traceback" not in str(caught.value)


class Supply:
    """Batches of a user's own, one of which is of another kind."""

    def __init__(self, *odd, length=300):
        self.odd, self.length = odd, length

    def __len__(self):
        if isinstance(self.length, Exception):
            raise self.length
        return self.length

    def epoch(self, *, batch_size, seed=None, first_batch=0):
        good = torch.zeros(batch_size, 1, 8, 8), torch.zeros(batch_size, dtype=torch.int64)
        for number in range(first_batch, 3):
            yield good
            if number == 1:
                for odd in self.odd:
                    if isinstance(odd, BaseException):
                        raise odd
                    yield odd


@pytest.mark.parametrize(
    ("supply", "words"),
    [
        (Supply(ZeroDivisionError("in line 3")), "cannot be read at batch 2, .*ZeroDivisionError"),
        (Supply(SystemExit()), "cannot be read at batch 2, .*SystemExit"),
        (Supply({"x": 1, "y": 2}), "inputs are of type str, not a tensor"),
        (Supply((torch.zeros(3, 1, 8, 8),)), "its batches are not .inputs, labels."),
        (Supply(length=301), "a pass has 300 samples, and its length is 301"),
        (Supply(length=150), "a pass has more samples, and its length is 150"),
        (Supply(length=TypeError("no")), "its length cannot be told: TypeError: no"),
    ],
)
def test_supplies_of_a_users_own_are_not_believed(splits, supply, words):
    part = with_part(splits, "validation", supply).validation
    with pytest.raises(DataError, match=f"digits: validation: {words}"):
        list(part.epoch(batch_size=100))


class Chunks:
    """Batches of the sizes given, whatever was asked for."""

    def __init__(self, *sizes):
        self.sizes = sizes

    def __len__(self):
        return 300

    def epoch(self, *, batch_size, seed=None, first_batch=0):
        for size in self.sizes[first_batch:]:
            yield torch.zeros(size, 1, 8, 8), torch.zeros(size, dtype=torch.int64)


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ((), "a pass has 0 samples, and its length is 300"),
        ((100, 100), "a pass has 200 samples, and its length is 300"),
        ((100, 0, 100, 100), "a batch has 0 samples, and 1 to 100 were asked for"),
        ((100, 200), "a batch has 200 samples, and 1 to 100 were asked for"),
    ],
)
@pytest.mark.parametrize("seed", [None, 1])
def test_a_pass_that_is_not_what_was_asked_for_is_told(splits, sizes, words, seed):
    part = with_part(splits, "train", Chunks(*sizes)).train
    with pytest.raises(DataError, match=f"digits: train: {words}"):
        list(part.epoch(batch_size=100, seed=seed))


def test_a_shuffled_pass_may_drop_the_rest_of_a_batch(splits):
    part = with_part(splits, "train", Chunks(140, 140)).train
    assert len(list(part.epoch(batch_size=140, seed=1))) == 2
    with pytest.raises(DataError, match="a pass has 280 samples"):
        list(part.epoch(batch_size=140))


def test_a_guarded_part_does_what_its_source_does(splits):
    source = splits.train.source
    assert isinstance(splits.train, AugmentedSource)
    assert isinstance(splits.train, StoredSource)
    assert splits.train.order(1) is None
    plain = splits.train.unaugmented()
    assert isinstance(plain, Guarded)
    assert torch.equal(plain.order(1), source.unaugmented().order(1))
    assert len(plain) == len(source)
    got, expected = (next(part.epoch(batch_size=8, seed=2)) for part in (splits.train, source))
    assert torch.equal(got[0], expected[0])
    rest = list(plain.epoch(batch_size=400, first_batch=2))
    assert [len(batch[1]) for batch in rest] == [367]
    assert list(plain.epoch(batch_size=400, first_batch=3)) == []


def test_a_supply_without_views_is_its_own_plain_one(splits):
    part = with_part(splits, "train", Supply()).train
    assert part.unaugmented() is part
    assert part.order(0) is None


def test_nothing_is_guarded_twice(splits):
    assert guarded(splits).test is splits.test


def test_of_two_shares_one_meets_the_sample_and_names_it(splits):
    late = with_part(splits, "train", DatasetSource(TensorDataset(*BAD["labels run from -1 to 9"])))
    told = []
    for rows in (torch.arange(50), torch.arange(50, 100)):
        try:
            seen = list(late.train.share(rows).epoch(batch_size=100, seed=3))
        except DataError as error:
            told.append(str(error))
        else:
            assert [len(targets) for _, targets in seen] == [50] * (COUNT // 100)
    (line,) = told
    assert f"first at sample {LATE}" in line


def test_what_is_in_memory_has_no_share(splits):
    assert splits.train.share(torch.arange(2)) is None
