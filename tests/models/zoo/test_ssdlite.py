import pytest
import torch

from edgespiral import models
from edgespiral.core.errors import UsageError
from edgespiral.models.zoo.ssdlite import SCALES, STAGES, Features


def test_it_has_features_at_three_resolutions():
    maps = Features(channels=3).eval()(torch.zeros(1, 3, 96, 128))
    assert [tuple(one.shape[1:]) for one in maps.values()] == [
        (STAGES[0][-1][1], 12, 16),
        (STAGES[1][-1][1], 6, 8),
        (STAGES[2][-1][1], 3, 4),
    ]


@pytest.mark.parametrize(("channels", "size"), [(3, (128, 128)), (1, (120, 160))])
def test_it_is_a_detector_whose_boxes_cover_the_scales(channels, size):
    torch.manual_seed(0)
    model = models.build("ssdlite-tiny", classes=2, input_shape=(channels, *size)).eval()
    model.transform.image_mean, model.transform.image_std = [0.0] * channels, [1.0] * channels
    model.score_thresh = 0.0
    [found] = model([torch.rand(channels, *size)])
    assert set(found["labels"].tolist()) <= {1, 2}
    assert found["boxes"].shape[1] == 4
    scales = model.anchor_generator.scales
    assert scales == list(SCALES)
    assert sum(p.numel() for p in model.parameters()) < 250_000


def test_detectors_of_two_stages_are_told_apart():
    assert "retinanet_resnet50_fpn" in models.names()
    assert "fasterrcnn_resnet50_fpn" not in models.names()
    with pytest.raises(UsageError, match=r"has two stages.*take ssdlite-tiny, or"):
        models.build("fasterrcnn_resnet50_fpn", classes=2, input_shape=(3, 64, 64))
    with pytest.raises(UsageError, match="takes 3 channels, and the data has 1"):
        models.build("fcos_resnet50_fpn", classes=2, input_shape=(1, 64, 64))
