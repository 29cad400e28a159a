import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgespiral.data.tensors import Augmentation, Normalisation, TensorSource, augment

AUGMENTATION = Augmentation(crop_pad=2, flip=True)


def source(count=50, augmentation=AUGMENTATION):
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randint(0, 256, (count, 2, 6, 5), generator=generator, dtype=torch.uint8)
    return TensorSource(inputs, torch.arange(count), Normalisation.of(inputs), augmentation)


@given(
    batch_size=st.integers(1, 60), first=st.integers(0, 60), seed=st.none() | st.integers(0, 2**32)
)
@settings(max_examples=30)
def test_a_resumed_pass_goes_on_exactly(batch_size, first, seed):
    whole = list(source().epoch(batch_size=batch_size, seed=seed))
    rest = list(source().epoch(batch_size=batch_size, seed=seed, first_batch=first))
    assert len(rest) == max(0, len(whole) - first)
    for (inputs, labels), (expected, expected_labels) in zip(rest, whole[first:], strict=True):
        assert torch.equal(inputs, expected)
        assert torch.equal(labels, expected_labels)


@given(batch_size=st.integers(1, 60))
@settings(max_examples=20)
def test_the_stored_order_keeps_every_sample(batch_size):
    labels = [labels for _, labels in source().epoch(batch_size=batch_size)]
    assert torch.cat(labels).tolist() == list(range(50))


def test_a_shuffled_pass_drops_the_short_batch_and_repeats_nothing():
    labels = torch.cat([labels for _, labels in source().epoch(batch_size=8, seed=4)]).tolist()
    assert len(labels) == len(set(labels)) == 48
    assert labels != sorted(labels)


def test_seeds_give_different_passes():
    (first, _), (second, _) = (next(source().epoch(batch_size=8, seed=s)) for s in (1, 2))
    assert not torch.equal(first, second)


def test_a_pass_leaves_the_global_generator_alone():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    list(source().epoch(batch_size=8, seed=4))
    assert torch.equal(torch.rand(1), expected)


def test_batches_have_zero_mean_and_unit_deviation():
    inputs, _ = next(source().epoch(batch_size=50))
    assert inputs.dtype == torch.float32
    assert torch.allclose(inputs.mean(dim=(0, 2, 3)), torch.zeros(2), atol=1e-5)
    assert torch.allclose(inputs.std(dim=(0, 2, 3), correction=0), torch.ones(2), atol=1e-5)


def test_a_constant_channel_stays_finite():
    inputs = torch.full((4, 1, 3, 3), 7, dtype=torch.uint8)
    assert torch.equal(Normalisation.of(inputs)(inputs), torch.zeros(4, 1, 3, 3))


@pytest.mark.parametrize("flip", [False, True])
def test_augmented_samples_are_crops_of_the_padded_sample(flip):
    torch.manual_seed(0)
    inputs = torch.randint(1, 256, (64, 2, 6, 5), dtype=torch.uint8)
    cut = augment(inputs, Augmentation(2, flip), torch.Generator().manual_seed(9))
    padded = torch.nn.functional.pad(inputs, (2, 2, 2, 2))
    mirrored = 0
    for sample, seen in zip(padded, cut, strict=True):
        crops = [sample[:, dy : dy + 6, dx : dx + 5] for dy in range(5) for dx in range(5)]
        straight = any(torch.equal(seen, crop) for crop in crops)
        mirrored += not straight
        assert straight or any(torch.equal(seen, crop.flip(-1)) for crop in crops)
    assert (mirrored > 10) is flip


def test_no_augmentation_leaves_samples_whole():
    inputs, labels = next(source(augmentation=None).epoch(batch_size=8, seed=3))
    stored, _ = next(source().epoch(batch_size=50))
    assert torch.equal(inputs, stored[labels])


def test_unaugmented_samples_come_in_the_same_order_and_as_they_are_stored():
    stored, _ = next(source().epoch(batch_size=50))
    _, order = next(source().epoch(batch_size=8, seed=3))
    inputs, labels = next(source().unaugmented().epoch(batch_size=8, seed=3))
    assert torch.equal(labels, order)
    assert torch.equal(inputs, stored[labels])
