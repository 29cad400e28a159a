"""CIFAR-10's binary version, made up here in its form."""

import numpy as np
import pytest
import torch

from edgespiral import data
from edgespiral.core.errors import DataError
from edgespiral.data.sources.cifar10 import CLASS_NAMES, TEST_FILES, TRAIN_FILES

ROWS = 1_100


def write_all(folder):
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    for name in (*TRAIN_FILES, *TEST_FILES):
        labels = np.arange(ROWS)[:, None] % 10
        pixels = generator.integers(0, 256, (ROWS, 3072))
        (folder / name).write_bytes(np.hstack([labels, pixels]).astype(np.uint8).tobytes())


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGESPIRAL_DATA", str(tmp_path / "named"))
    return tmp_path / "named"


@pytest.mark.parametrize("below", ["", "cifar-10-batches-bin", "cifar10/cifar-10-batches-bin"])
def test_the_binary_files_are_found(place, below):
    write_all(place / below if below else place)
    splits = data.load("cifar10")
    assert [len(s) for s in (splits.train, splits.validation, splits.test)] == [500, 5000, 1100]
    inputs, labels = next(splits.train.epoch(batch_size=32, seed=0))
    assert inputs.shape == (32, 3, 32, 32)
    assert labels.dtype == torch.int64
    assert splits.class_names == CLASS_NAMES


def test_channels_lie_one_after_the_other(place):
    write_all(place)
    row = np.frombuffer((place / "test_batch.bin").read_bytes()[:3073], np.uint8)
    splits = data.load("cifar10")
    inputs, labels = next(splits.test.epoch(batch_size=1))
    assert int(labels) == row[0]
    expected = torch.from_numpy(row[1:].reshape(3, 32, 32).astype(np.float32))
    # Normalised channel by channel: a line through the pixels' own values.
    for channel in range(3):
        pair = torch.stack([inputs[0, channel].flatten(), expected[channel].flatten()])
        assert float(torch.corrcoef(pair)[0, 1]) == pytest.approx(1)


@pytest.mark.parametrize("damage", ["cut", "label", "empty"])
def test_damaged_files_are_named(place, damage):
    write_all(place)
    path = place / "data_batch_3.bin"
    content = path.read_bytes()
    path.write_bytes({"cut": content[:5000], "label": b"\x0a" + content[1:], "empty": b""}[damage])
    with pytest.raises(
        DataError, match=r"data_batch_3\.bin: not a whole file of CIFAR-10"
    ) as caught:
        data.load("cifar10")
    assert "\n" not in str(caught.value)


def test_where_it_is_not_and_cannot_be_had_is_told(place, tmp_path, monkeypatch):
    from torchvision.datasets import CIFAR10

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(CIFAR10, "url", "file:///nowhere/cifar-10-python.tar.gz")
    with pytest.raises(DataError, match=r"cifar10 is not on this machine and could not be .*\.bin"):
        data.load("cifar10")
