"""ImageNet as torchvision's weights of ResNet-50 were scored on it: 256 pixels, the middle 224.

$IMAGENET is a folder with `train` and `val`, a subfolder a class each (ILSVRC 2012). Validation is
held out of `train`, so that the 50,000 pictures of `val` are looked at once, at the end.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from torch.utils.data import Subset
from torchvision import transforms
from torchvision.datasets import ImageFolder

from edgespiral.core.errors import DataError
from edgespiral.data.dataset import DatasetSource
from edgespiral.data.holdout import hold_out

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HELD_OUT, WORKERS = 0.015, 12
MIDDLE = [transforms.Resize(256), transforms.CenterCrop(224)]
VIEWS = [transforms.RandomResizedCrop(224), transforms.RandomHorizontalFlip()]
NUMBERS = [transforms.ToTensor(), transforms.Normalize(MEAN, STD)]


def load() -> dict[str, object]:
    """The three splits, as a path/to/file.py:factory returns them."""
    folder = os.environ.get("IMAGENET")
    if not folder or not (Path(folder) / "train").is_dir() or not (Path(folder) / "val").is_dir():
        raise DataError("names no folder with train and val", where="$IMAGENET")
    train, seen, test = (
        ImageFolder(str(Path(folder) / part), transforms.Compose([*views, *NUMBERS]))
        for part, views in (("train", MIDDLE), ("train", VIEWS), ("val", MIDDLE))
    )
    labels = np.asarray(train.targets, np.int64)
    count = max(len(train.classes), round(HELD_OUT * len(labels)))
    kept, held = (places.tolist() for places in hold_out(labels, count, where=folder))
    workers = min(WORKERS, os.cpu_count() or 1)
    return {
        "train": DatasetSource(Subset(train, kept), Subset(seen, kept), workers=workers),
        "validation": DatasetSource(Subset(train, held), workers=workers),
        "test": DatasetSource(test, workers=workers),
        "classes": train.classes,
    }
