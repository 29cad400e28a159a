"""The recipe for ImageNet, on a folder of its form made of noise."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from edgespiral.core.errors import DataError
from edgespiral.data import load

RECIPE = Path(__file__).parents[1] / "examples" / "imagenet_resnet50"


def test_three_parts_are_read_as_the_weights_were_scored(tmp_path, monkeypatch):
    draw = np.random.default_rng(0)
    for part, count in (("train", 6), ("val", 2)):
        for name in ("n01", "n02"):
            folder = tmp_path / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = draw.integers(0, 255, (40, 60, 3), np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    spec = f"{RECIPE / 'imagenet.py'}:load"
    monkeypatch.setenv("IMAGENET", str(tmp_path))
    splits = load(spec)
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [10, 2, 4]
    assert splits.class_names == ("n01", "n02")
    pictures, labels = next(iter(splits.test.epoch(batch_size=4)))
    assert pictures.shape == (4, 3, 224, 224)
    assert labels.tolist() == [0, 0, 1, 1]
    again, _ = next(iter(splits.test.epoch(batch_size=4)))
    assert torch.equal(pictures, again)
    monkeypatch.setenv("IMAGENET", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match=r"\$IMAGENET: names no folder with train and val"):
        load(spec)


def test_the_script_asks_for_what_it_needs():
    done = subprocess.run(
        ["sh", str(RECIPE / "run.sh")], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "how many GPUs, 1 or 8" in done.stderr
    assert subprocess.run(["sh", "-n", str(RECIPE / "run.sh")], check=False).returncode == 0
