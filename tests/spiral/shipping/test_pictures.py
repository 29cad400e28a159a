"""What a report shows of single samples, as two files see them."""

import pytest
import torch
from torch import nn

from edgespiral.core.batches import DataSplits
from edgespiral.core.records.exported import Confusion
from edgespiral.data.dataset import DatasetSource
from edgespiral.export.onnx import export_onnx
from edgespiral.spiral.shipping.pictures import compared_pictures, compared_texts, confusions_of
from edgespiral.tasks.classification import CLASSIFICATION

# The class is the place of the largest number.
SAMPLES = torch.eye(3)[torch.tensor([0, 1, 1, 2, 2, 2])]
TARGETS = SAMPLES.argmax(1)


@pytest.fixture
def files(tmp_path):
    """A net that is right, and one that takes the third class for the first."""
    right, wrong = nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)
    with torch.no_grad():
        right.weight.copy_(torch.eye(3))
        wrong.weight.copy_(torch.tensor([[1.0, 0, 2], [0, 1, 0], [0, 0, 1]]))
    paths = tmp_path / "right.onnx", tmp_path / "wrong.onnx"
    for net, path in zip((right, wrong), paths, strict=True):
        export_onnx(net, path, input_shape=(3,))
    return paths


def splits(targets, **others):
    source = DatasetSource(torch.utils.data.TensorDataset(SAMPLES, targets))
    return DataSplits("made", source, source, source, ("cat", "dog", "cow"), (3,), **others)


def test_classes_that_are_confused_are_counted(files):
    found, samples = confusions_of(*files, splits(TARGETS), CLASSIFICATION)
    assert found == (Confusion(meant="cow", said="cat", teacher=0, student=3),)
    assert samples == 6
    assert confusions_of(files[0], files[0], splits(TARGETS), CLASSIFICATION) == ((), 6)
    # A class's name is no sentence, and nothing is drawn of it.
    assert compared_texts(*files, splits(TARGETS), CLASSIFICATION) == ()
    assert compared_pictures(*files, splits(TARGETS), CLASSIFICATION) == ()


def test_what_is_no_class_is_not_confused(files):
    own = splits(TARGETS, target_shape=None)
    assert confusions_of(*files, own, CLASSIFICATION) == ((), 0)
