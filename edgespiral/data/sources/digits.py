"""scikit-learn's hand-written digits: 1,797 images of 8x8 pixels, in its wheel, no network."""

from __future__ import annotations

import numpy as np
import torch

from edgespiral.core.batches import DataSplits
from edgespiral.core.stages.frames import Frames, Standardised
from edgespiral.data.holdout import hold_out
from edgespiral.data.sources.base import without_argument
from edgespiral.data.tensors import Augmentation, Normalisation, TensorSource

VALIDATION_COUNT = 270
TEST_COUNT = 360


def load_digits() -> DataSplits:
    """Digits in three fixed stratified parts: 1,167 to train, 270 to validate, 360 to test."""
    from sklearn import datasets

    raw = datasets.load_digits()
    inputs = torch.from_numpy(raw.images.astype(np.uint8))[:, None]
    labels = raw.target.astype(np.int64)
    rest, test = hold_out(labels, TEST_COUNT, where="digits")
    remaining, held = hold_out(labels[rest], VALIDATION_COUNT, where="digits")
    train, validation = rest[remaining], rest[held]
    normalisation = Normalisation.of(inputs[train])

    def part(places: np.ndarray, augmentation: Augmentation | None = None) -> TensorSource:
        chosen_labels = torch.from_numpy(labels[places])
        return TensorSource(inputs[places], chosen_labels, normalisation, augmentation)

    return DataSplits(
        name="digits",
        train=part(train, Augmentation(crop_pad=1, flip=False)),
        validation=part(validation),
        test=part(test),
        class_names=tuple(str(name) for name in raw.target_names),
        input_shape=(1, 8, 8),
        frames=Frames(
            "array", Standardised(*normalisation.figures), stored=inputs[validation[0]].numpy()
        ),
    )


PLUGIN = without_argument(load_digits)
