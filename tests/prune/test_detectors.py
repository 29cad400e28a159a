"""That detectors of torchvision's can be cut: all but the few channels that their outputs are."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import TensorDataset

from edgespiral import models
from edgespiral.core.batches import DataSplits
from edgespiral.data.dataset import DatasetSource
from edgespiral.models.saved import trace
from edgespiral.prune.cuttable_share import cuttable_share
from edgespiral.prune.prunable import PrunableModel
from edgespiral.tasks.detection import PLUGIN

SIZE = 64


@pytest.mark.parametrize(
    "name", ["ssdlite-tiny", "ssdlite320_mobilenet_v3_large", "fcos_resnet50_fpn"]
)
def test_a_detector_can_be_cut(name):
    targets = torch.tensor([[[1.0, 8, 8, 40, 40]]]).expand(2, 1, 5).contiguous()
    images = torch.randn(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    source = DatasetSource(TensorDataset(images, targets), fixed=True)
    splits = DataSplits(
        name="made up",
        train=source,
        validation=source,
        test=source,
        class_names=("a", "b"),
        input_shape=(3, SIZE, SIZE),
        target_shape=None,
    )
    whole = models.build(name, classes=2, input_shape=splits.input_shape)
    network, _ = PLUGIN.prepared(whole, splits)
    traced = PrunableModel.of(trace(network.eval(), images), splits.input_shape)
    share = cuttable_share(traced.model, traced.groups)
    assert share.cuttable_parameters > 0.95 * share.parameters
    assert share.cuttable_channels > 0.95 * share.channels
