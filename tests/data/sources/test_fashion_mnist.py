import gzip
import shutil

import numpy as np
import pytest
import torch

from edgespiral import data
from edgespiral.core.errors import DataError
from edgespiral.data.sources.fashion_mnist import FILES, _read_idx

COUNTS = {"train": 6000, "test": 300}


def idx(values):
    header = bytes([0, 0, 8, values.ndim]) + b"".join(n.to_bytes(4) for n in values.shape)
    return header + values.astype(np.uint8).tobytes()


def write_all(folder, *, packed):
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    for part, name in FILES.items():
        split, kind = part.split()
        shape = (COUNTS[split], 28, 28) if kind == "inputs" else (COUNTS[split],)
        values = generator.integers(0, 256 if kind == "inputs" else 10, shape)
        raw = idx(values)
        path = folder / (f"{name}.gz" if packed else name)
        path.write_bytes(gzip.compress(raw, 1) if packed else raw)


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGESPIRAL_DATA", str(tmp_path / "named"))
    return tmp_path / "named"


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("below", ["", "fashion-mnist", "FashionMNIST/raw"])
def test_files_are_found_packed_or_plain(place, packed, below):
    write_all(place / below if below else place, packed=packed)
    splits = data.load("fashion-mnist")
    assert [len(s) for s in (splits.train, splits.validation, splits.test)] == [1000, 5000, 300]
    inputs, labels = next(splits.train.epoch(batch_size=32, seed=0))
    assert inputs.shape == (32, 1, 28, 28)
    assert labels.dtype == torch.int64
    assert len(splits.class_names) == 10


@pytest.mark.parametrize("damage", ["cut", "text", "mismatch"])
def test_damaged_files_are_named(place, damage):
    write_all(place, packed=True)
    path = place / f"{FILES['train inputs']}.gz"
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:1000])
    elif damage == "text":
        path.write_bytes(b"not found")
    else:
        shutil.copy(place / f"{FILES['test inputs']}.gz", path)
    with pytest.raises(DataError, match="train-images") as caught:
        data.load("fashion-mnist")
    assert "\n" not in str(caught.value)


def test_a_packed_file_that_unpacks_to_too_much_is_refused(tmp_path):
    path = tmp_path / "train-images-idx3-ubyte.gz"
    with gzip.open(path, "wb", compresslevel=1) as stream:
        for _ in range(70):
            stream.write(bytes(2**20))
    with pytest.raises(DataError, match="not a whole idx file"):
        _read_idx(path)
