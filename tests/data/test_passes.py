from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from torch.utils.data import Dataset

from edgespiral import data
from edgespiral.core.errors import DataError, ExitCode
from edgespiral.data.dataset import DatasetSource
from edgespiral.data.guard import guarded, sha256_of
from edgespiral.data.passes import PassDigest, Passes, check_repeats
from edgespiral.data.tensors import Normalisation, TensorSource

COUNT = 40
PLAIN = Normalisation(torch.zeros(1), torch.ones(1))


def stored(shift=0.0, late=0):
    """Samples of which those from `late` on are shifted."""
    inputs = torch.rand(COUNT, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    inputs[late:] += shift
    return TensorSource(inputs, torch.arange(COUNT) % 10, PLAIN)


class Noisy(Dataset):
    """Images to which noise is added each time that they are read, as by a training transform."""

    def __init__(self, draw, labels=False):
        self.draw, self.labels = draw, labels

    def __len__(self):
        return COUNT

    def __getitem__(self, index):
        noise = float(self.draw())
        if self.labels:
            return torch.full((1, 8, 8), float(index)), (index + int(10 * noise)) % 10
        return torch.full((1, 8, 8), index + noise), index % 10


def own_generator():
    generator = torch.Generator().manual_seed(0)
    return lambda: torch.rand((), generator=generator)


# The global generator is seeded for each batch, so that only the size of batches shows it.
NOISE = {"of its own": own_generator(), "of torch's": lambda: torch.rand(())}


@pytest.fixture
def splits():
    return data.load("digits")


@pytest.mark.parametrize("labels", [False, True])
@pytest.mark.parametrize("draw", NOISE)
@pytest.mark.parametrize("part", ["validation", "test"])
def test_samples_that_are_drawn_anew_each_time_are_refused_before_a_run(splits, part, draw, labels):
    noisy = replace(splits, **{part: DatasetSource(Noisy(NOISE[draw], labels))})
    wanted = f"digits: {part}: sample [0-9]+ is another each time that it is read"
    with pytest.raises(DataError, match=wanted) as caught:
        data.check(noisy, batch_size=16)
    assert caught.value.exit_code == ExitCode.DATA


def test_training_samples_may_be_drawn_anew(splits):
    data.check(replace(splits, train=DatasetSource(Noisy(own_generator()))), batch_size=16)


@pytest.mark.parametrize("count", [1, 3, 5, COUNT])
def test_samples_that_stay_are_no_reason_to_complain(count):
    inputs, labels = next(iter(stored().epoch(batch_size=count)))
    check_repeats(TensorSource(inputs, labels, PLAIN), "digits: test")


class Changing:
    """Data of which one sample is another from some pass on."""

    def __init__(self, from_pass, late=COUNT - 1):
        self.passes, self.changed = itertools.count(), stored(1.0, late)
        self.from_pass, self.plain = from_pass, stored()

    def __len__(self):
        return COUNT

    def epoch(self, **how):
        return (self.plain if next(self.passes) < self.from_pass else self.changed).epoch(**how)


@pytest.mark.parametrize("part", ["validation", "test"])
def test_a_late_sample_that_changes_between_two_passes_is_met(splits, part):
    source = getattr(guarded(replace(splits, **{part: Changing(2)})), part)
    for size in (7, 16):
        assert sum(len(labels) for _, labels in source.epoch(batch_size=size)) == COUNT
    with pytest.raises(DataError, match=f"digits: {part}: its samples are not what they were"):
        list(source.epoch(batch_size=16))


def test_parts_of_a_pass_and_training_are_not_compared(splits):
    changing = guarded(replace(splits, train=Changing(1), validation=Changing(1)))
    for _ in range(3):
        list(changing.train.epoch(batch_size=16))
        next(iter(changing.validation.epoch(batch_size=16)))
        list(changing.validation.epoch(batch_size=8, first_batch=1))


def test_a_digest_is_of_the_samples_whatever_the_batches(splits):
    def digest(source, size):
        made = PassDigest()
        for batch in source.epoch(batch_size=size):
            made.add(*batch)
        return made.hexdigest()

    assert digest(stored(), 7) == digest(stored(), COUNT) == sha256_of(stored())
    assert digest(stored(1e-6, COUNT - 1), 7) != digest(stored(), 7)
    kept = guarded(replace(splits, validation=stored())).validation
    assert sha256_of(kept) == sha256_of(kept) == sha256_of(stored())


def test_the_first_whole_pass_is_the_reference():
    passes, digest = Passes(), PassDigest()
    digest.add(torch.zeros(2, 1), torch.zeros(2))
    passes.add(digest, "x")
    assert passes.sha256 == digest.hexdigest()
    with pytest.raises(DataError, match="leave random transforms to the training split"):
        passes.add(PassDigest(), "x")
