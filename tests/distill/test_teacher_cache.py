from __future__ import annotations

import errno
import os
import shutil

import pytest
import torch
from torch.utils.data import TensorDataset

from edgespiral.core.errors import DataError, RunFolderError
from edgespiral.core.nested import leaves
from edgespiral.data import load
from edgespiral.data.dataset import DatasetSource
from edgespiral.distill import teacher_cache
from edgespiral.distill.teacher_cache import can_be_kept, kept_outputs, stored_order


@pytest.fixture
def stored():
    dataset = TensorDataset(torch.arange(300.0).reshape(300, 1, 1, 1), torch.zeros(300).long())
    return DatasetSource(dataset, fixed=True)


class Teacher(torch.nn.Module):
    """Some times the input, and a count of the samples that it saw."""

    def __init__(self, factor=2.0):
        super().__init__()
        self.register_buffer("factor", torch.tensor(factor))
        self.seen = 0

    def forward(self, inputs):
        self.seen += len(inputs)
        assert not self.training
        return self.factor * inputs.flatten(1)


def test_outputs_are_in_stored_order_and_asked_for_once(stored, tmp_path):
    teacher, path, heard = Teacher(), tmp_path / "outputs", []
    found = kept_outputs(path, teacher, stored, lambda done, of: heard.append((done, of)))
    assert torch.equal(found, 2 * torch.arange(300.0)[:, None])
    assert heard == [(1, 3), (2, 3), (3, 3)]
    assert torch.equal(kept_outputs(path, teacher, stored), found)
    assert teacher.seen == 300


def test_the_order_is_that_of_the_shuffled_pass(stored):
    shown = torch.cat([inputs.flatten() for inputs, _ in stored.epoch(batch_size=50, seed=4)])
    assert torch.equal(shown, stored_order(stored, 4).float())


def test_only_stored_samples_that_fit_into_memory_are_kept(stored):
    digits = load("digits")
    assert can_be_kept(stored, 10)
    assert not can_be_kept(stored, 10**6)
    assert not can_be_kept(digits.train, 10)
    assert can_be_kept(digits.unaugmented().train, 10)
    with pytest.raises(DataError, match="not of random views"):
        stored_order(digits.train, 0)


def test_more_than_memory_has_room_for_may_lie_on_a_disk_up_to_half_of_what_is_free(
    stored, tmp_path, monkeypatch
):
    monkeypatch.setattr(teacher_cache, "MOST_BYTES", 10_000)
    free = shutil.disk_usage(tmp_path).free
    assert not can_be_kept(stored, 10)
    assert can_be_kept(stored, 10, tmp_path / "not" / "made")
    assert not can_be_kept(stored, free // (2 * 4 * 300) + 1, tmp_path)
    monkeypatch.setattr(teacher_cache, "MOST_DISK_BYTES", 11_000)
    assert not can_be_kept(stored, 10, tmp_path)


class Several(Teacher):
    """Outputs of two kinds."""

    def forward(self, inputs):
        return {"twice": super().forward(inputs), "rank": inputs.flatten().long()}


@pytest.mark.parametrize("kind", [Teacher, Several])
def test_outputs_on_disk_are_those_in_memory(stored, tmp_path, monkeypatch, kind):
    in_memory = leaves(kept_outputs(tmp_path / "a", kind(), stored))
    monkeypatch.setattr(teacher_cache, "MOST_BYTES", 1000)
    heard, teacher = [], kind()
    kept = kept_outputs(tmp_path / "b", teacher, stored, lambda *done: heard.append(done))
    assert leaves(kept).keys() == in_memory.keys()
    assert all(torch.equal(leaves(kept)[name], value) for name, value in in_memory.items())
    assert heard == [(1, 3), (2, 3), (3, 3)]
    again = leaves(kept_outputs(tmp_path / "b", teacher, stored))
    assert all(torch.equal(again[name], value) for name, value in in_memory.items())
    assert teacher.seen == 300
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_a_disk_that_is_full_is_told_before_anything_is_asked(stored, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(teacher_cache, "MOST_BYTES", 1000)
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(RunFolderError, match="No space left on device"):
        kept_outputs(tmp_path / "b", Teacher(), stored)
    assert list(tmp_path.iterdir()) == []


def test_a_data_set_may_alter_its_samples_unless_it_has_a_plain_form(stored):
    mine = stored._plain
    assert DatasetSource(mine).unaugmented().order(0) is None
    assert DatasetSource(mine, mine).unaugmented().order(0) is None
    other = TensorDataset(torch.zeros(300, 1, 1, 1), torch.zeros(300).long())
    assert DatasetSource(mine, other).order(0) is None
    assert DatasetSource(mine, other).unaugmented().order(0) is not None


def test_damaged_outputs_are_refused(stored, tmp_path):
    path = tmp_path / "outputs"
    path.write_bytes(b"damaged")
    with pytest.raises(RunFolderError, match="damaged"):
        kept_outputs(path, Teacher(), stored)


def test_outputs_of_which_a_bit_changed_are_refused(stored, tmp_path):
    path = tmp_path / "outputs"
    kept_outputs(path, Teacher(), stored)
    content = bytearray(path.read_bytes())
    content[-100] ^= 0x40
    path.write_bytes(content)
    with pytest.raises(RunFolderError, match="damaged"):
        kept_outputs(path, Teacher(), stored)


def test_another_teacher_and_other_samples_are_asked_about_anew(stored, tmp_path):
    path, inputs = tmp_path / "outputs", torch.arange(300.0).reshape(300, 1, 1, 1)
    kept_outputs(path, Teacher(), stored)
    other = Teacher(factor=3.0)
    assert torch.equal(kept_outputs(path, other, stored), 3 * torch.arange(300.0)[:, None])
    backwards = DatasetSource(TensorDataset(inputs.flip(0), torch.zeros(300).long()), fixed=True)
    assert torch.equal(kept_outputs(path, other, backwards), 3 * inputs.flip(0).flatten(1))
    relabelled = DatasetSource(TensorDataset(inputs, torch.ones(300).long()), fixed=True)
    kept_outputs(path, other, relabelled)
    assert other.seen == 900


def test_an_interrupted_pass_goes_on_where_it_was(stored, tmp_path):
    teacher, path = Teacher(), tmp_path / "outputs"

    def stop(done, of):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kept_outputs(path, teacher, stored, stop, save_every_s=0.0)
    assert not path.exists()
    teacher.seen = 0
    found = kept_outputs(path, teacher, stored)
    assert teacher.seen == 300 - 2 * 128
    assert torch.equal(found, 2 * torch.arange(300.0)[:, None])
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("order", [torch.arange(299), torch.arange(300) + 1, torch.zeros(300)])
def test_an_order_that_misses_samples_is_told(stored, order):
    class Wrong(DatasetSource):
        def order(self, seed):
            return order.long()

    with pytest.raises(
        DataError, match=r"order\(4\) does not name each of the 300 training samples"
    ):
        stored_order(Wrong(stored._plain, fixed=True), 4)
