import numpy as np
import pytest
import torch
from PIL import Image

from edgespiral import data
from edgespiral.core.errors import DataError, UsageError


def fill(folder, classes=("cat", "dog"), count=20, start=0):
    for label, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for index in range(count):
            pixels = np.full((20, 30, 3), 10 * label + start + index, dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{index}.png")


def everything(source):
    inputs, labels = zip(*source.epoch(batch_size=7), strict=True)
    return torch.cat(inputs), torch.cat(labels)


def test_one_folder_is_split_in_three(tmp_path):
    fill(tmp_path)
    splits = data.load(f"folder:{tmp_path}?size=16")
    parts = [everything(s) for s in (splits.train, splits.validation, splits.test)]
    assert [len(labels) for _, labels in parts] == [31, 3, 6]
    assert all(len(set(labels.tolist())) == 2 for _, labels in parts)
    assert splits.class_names == ("cat", "dog")
    assert splits.input_shape == (3, 16, 16)
    data.check(splits, batch_size=8)


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_ready_made_splits_are_used(tmp_path, name):
    for part, count in (("train", 9), (name, 4), ("test", 3)):
        fill(tmp_path / part, count=count)
    splits = data.load(f"folder:{tmp_path}?size=16")
    assert [len(s) for s in (splits.train, splits.validation, splits.test)] == [18, 8, 6]


@pytest.mark.parametrize("name", ["val", "test"])
def test_a_single_other_part_is_the_test(tmp_path, name):
    fill(tmp_path / "train", count=20)
    fill(tmp_path / name, count=5)
    splits = data.load(f"folder:{tmp_path}?size=16")
    assert [len(s) for s in (splits.train, splits.validation, splits.test)] == [36, 4, 10]


def test_only_shuffled_passes_are_augmented(tmp_path):
    fill(tmp_path)
    gradient = np.tile(np.arange(30, dtype=np.uint8)[None, :, None] * 8, (20, 1, 3))
    for path in tmp_path.glob("*/*.png"):
        Image.fromarray(gradient).save(path)
    splits = data.load(f"folder:{tmp_path}?size=16")
    plain, _ = everything(splits.train)
    shuffled, _ = next(splits.train.epoch(batch_size=8, seed=0))
    assert torch.equal(plain[0], plain[1])
    assert not torch.equal(shuffled[0], shuffled[1])


def test_bad_folders_are_one_line(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        data.load(f"folder:{tmp_path / 'none'}")
    with pytest.raises(DataError, match="no images"):
        data.load(f"folder:{tmp_path}")
    fill(tmp_path / "train")
    with pytest.raises(DataError, match="no val or test"):
        data.load(f"folder:{tmp_path}")
    fill(tmp_path / "test", classes=("cat", "horse"))
    with pytest.raises(DataError, match="classes are not those of train"):
        data.load(f"folder:{tmp_path}")


@pytest.mark.parametrize(("query", "error"), [("size=big", DataError), ("sise=64", UsageError)])
def test_bad_options(tmp_path, query, error):
    with pytest.raises(error, match="size"):
        data.load(f"folder:{tmp_path}?{query}")
