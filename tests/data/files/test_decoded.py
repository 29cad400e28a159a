from __future__ import annotations

import copy
import mmap

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

from edgespiral.data.dataset import DatasetSource
from edgespiral.data.files import decoded
from edgespiral.data.files.decoded import DecodedPictures

COUNT, BYTES = 12, 4 * 5 * 3


class Files:
    """Pictures of several sizes, and how often each was decoded, in whatever process."""

    def __init__(self) -> None:
        self.times = np.frombuffer(mmap.mmap(-1, COUNT), np.uint8)

    def decode(self, index: int) -> np.ndarray:
        self.times[index] += 1
        return np.full((4 + index % 2, 5, 3), index, np.uint8)


class Shown(Dataset):
    def __init__(self, pictures: DecodedPictures) -> None:
        self._pictures = pictures

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return torch.from_numpy(self._pictures[index][:4]).float(), index


@pytest.fixture
def files():
    return Files()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def passes(pictures: DecodedPictures, workers: int = 0) -> None:
    """Two passes, in which every picture is the right one."""
    source = DatasetSource(Shown(pictures), workers=workers)
    for seed in (1, 2):
        for inputs, labels in source.epoch(batch_size=3, seed=seed):
            assert torch.equal(inputs, labels.float().reshape(-1, 1, 1, 1).expand(-1, 4, 5, 3))


@pytest.mark.parametrize("workers", [0, 2])
def test_each_picture_is_decoded_once_whoever_asks(files, cache, workers):
    passes(DecodedPictures(COUNT, files.decode, BYTES), workers)
    assert files.times.tolist() == [1] * COUNT
    assert not cache.exists()


def test_what_is_shown_may_be_written_to(files):
    pictures = DecodedPictures(COUNT, files.decode, BYTES)
    for _ in range(2):
        pictures[3][:] = 0
    assert set(pictures[3].flatten().tolist()) == {3}


def test_what_does_not_fit_is_decoded_each_time(files, monkeypatch):
    monkeypatch.setattr(decoded, "MOST_IN_MEMORY_BYTES", 5 * BYTES)
    # As large as they are said to be they would fit.
    passes(DecodedPictures(COUNT, files.decode, 1))
    assert sorted(set(files.times.tolist())) == [1, 2]
    assert 3 <= int((files.times == 1).sum()) <= 5


@pytest.mark.parametrize("workers", [0, 2])
def test_more_than_memory_is_to_have_goes_to_a_file_without_a_name(
    files, cache, monkeypatch, workers
):
    monkeypatch.setattr(decoded, "MOST_IN_MEMORY_BYTES", 3 * BYTES)
    passes(DecodedPictures(COUNT, files.decode, BYTES), workers)
    assert files.times.tolist() == [1] * COUNT
    assert not any((cache / "edgespiral" / "pictures").iterdir())


def test_where_there_is_no_place_for_a_file_it_goes_on_without(files, cache, monkeypatch):
    monkeypatch.setattr(decoded, "MOST_IN_MEMORY_BYTES", 3 * BYTES)
    cache.write_text("no folder")
    passes(DecodedPictures(COUNT, files.decode, BYTES))
    assert set(files.times.tolist()) == {1, 2}


def test_a_full_disk_ends_nothing(files, monkeypatch):
    def full(*_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(decoded, "MOST_IN_MEMORY_BYTES", 3 * BYTES)
    monkeypatch.setattr("os.posix_fallocate", full)
    passes(DecodedPictures(COUNT, files.decode, BYTES))
    assert set(files.times.tolist()) == {1, 2}


def test_a_copy_keeps_nothing_and_shows_the_same(files):
    pictures = DecodedPictures(COUNT, files.decode, BYTES)
    first, own = pictures[5], copy.deepcopy(pictures)
    assert np.array_equal(own[5], first)
    assert len(own) == COUNT
