import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset
from torchvision.models import detection, mobilenet_v2

from edgespiral.core.batches import DataSplits, Normalisation
from edgespiral.core.errors import ModelError
from edgespiral.data.dataset import DatasetSource
from edgespiral.models.catalog import build
from edgespiral.tasks.detection import PLUGIN
from edgespiral.tasks.detection.network import DenseDetector
from edgespiral.tasks.detection.outputs import BOXES, LOGITS

SIZE = 64
IMAGENET = Normalisation(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def splits(classes=2, normalisation=None) -> DataSplits:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(4, 3, SIZE, SIZE, generator=generator)
    targets = torch.tensor([[[1.0, 8, 8, 40, 40]]]).expand(4, 1, 5).contiguous()
    source = DatasetSource(TensorDataset(images, targets), fixed=True)
    return DataSplits(
        name="made up",
        train=source,
        validation=source,
        test=source,
        class_names=tuple("abc"[:classes]),
        input_shape=(3, SIZE, SIZE),
        target_shape=None,
        normalisation=normalisation,
    )


def make(name, **more):
    torch.manual_seed(0)
    return detection.__dict__[name](weights=None, weights_backbone=None, **more)


def with_one_map():
    """FCOS around a backbone that returns one tensor, as torchvision's own page shows it."""
    backbone = mobilenet_v2().features
    backbone.out_channels = 1280
    anchors = detection.anchor_utils.AnchorGenerator(((32,),), ((1.0,),))
    return detection.FCOS(backbone, num_classes=2, anchor_generator=anchors)


DETECTORS = {
    "ssdlite-tiny": lambda: build("ssdlite-tiny", classes=2, input_shape=(3, SIZE, SIZE)),
    "ssdlite": lambda: make("ssdlite320_mobilenet_v3_large", num_classes=3),
    "retinanet": lambda: make("retinanet_resnet50_fpn", num_classes=2),
    "retinanet with a background": lambda: make("retinanet_resnet50_fpn", num_classes=3),
    "fcos": lambda: make("fcos_resnet50_fpn", num_classes=2),
    "fcos with one map": with_one_map,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", DETECTORS)
def test_a_detector_of_torchvisions_finds_what_it_finds_by_itself(name):
    """With its thresholds at nothing, so that untrained ones find a lot."""
    whole = DETECTORS[name]().eval()
    whole.score_thresh = 0.0
    whole.transform.fixed_size, whole.transform.image_mean = (SIZE, SIZE), [0.0] * 3
    whole.transform.image_std = [1.0] * 3
    data = splits()
    network, task = PLUGIN.prepared(whole, data)
    assert isinstance(network, DenseDetector)
    images, targets = next(iter(data.train.epoch(batch_size=2)))
    with torch.no_grad():
        expected, outputs = whole(list(images)), network.eval()(images)
    task.check_outputs(outputs, 2, data)
    offset = task.frame.offset
    for found, wanted in zip(task.frame.detections(outputs), expected, strict=True):
        kept = wanted["labels"] >= offset
        assert len(found["scores"]) == int(kept.sum()) > 5
        assert torch.allclose(found["scores"], wanted["scores"][kept], atol=1e-5)
        assert torch.allclose(found["boxes"], wanted["boxes"][kept], atol=1e-2)
        assert torch.equal(found["labels"], wanted["labels"][kept] - offset)
    rows = [{"labels": row[:, 0].long() + offset, "boxes": row[:, 1:]} for row in targets]
    if "retinanet" not in name:  # whose losses look at anchors that others share in another order
        with torch.no_grad():
            losses = whole.train()(list(images), rows)
            ours = task.loss(network.train()(images), targets)
        assert float(ours) == pytest.approx(float(sum(losses.values())), rel=0.05)


def test_weights_of_the_detector_are_those_of_its_network():
    whole = DETECTORS["ssdlite-tiny"]()
    network, _ = PLUGIN.prepared(whole, splits())
    assert network.state_dict().keys() == whole.state_dict().keys()


def test_frozen_norms_compute_the_same_and_train():
    frozen = make("retinanet_resnet50_fpn", num_classes=2)
    norm = torch.nn.BatchNorm2d
    for path, layer in list(frozen.backbone.named_modules()):
        if isinstance(layer, norm):
            still = detection.backbone_utils.misc_nn_ops.FrozenBatchNorm2d(layer.num_features)
            still.running_mean.fill_(0.1)
            frozen.backbone.set_submodule(path, still)
    network, _ = PLUGIN.prepared(frozen, splits())
    images = torch.randn(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = frozen.backbone.eval()(images)
        found = network.eval().backbone(images)
    assert all(torch.allclose(found[key], expected[key], atol=1e-3) for key in expected)
    assert any(isinstance(layer, norm) for layer in network.modules())
    assert not any(isinstance(layer, norm) for layer in frozen.backbone.modules())


def test_a_detector_of_two_stages_is_refused():
    with pytest.raises(ModelError, match=r"FasterRCNN: has two stages.*SSDlite, RetinaNet or FCOS"):
        PLUGIN.prepared(make("fasterrcnn_mobilenet_v3_large_320_fpn", num_classes=3), splits())


def test_other_numbers_of_classes_are_refused():
    with pytest.raises(ModelError, match=r"3 columns .* 3 classes \(a, b, c\), so it needs 4"):
        PLUGIN.prepared(DETECTORS["ssdlite-tiny"](), splits(classes=3))
    with pytest.raises(ModelError, match=r"2 columns .* so it needs 3 or 4"):
        PLUGIN.prepared(DETECTORS["fcos"](), splits(classes=3))


def test_pixels_of_another_normalisation_are_refused_with_the_option():
    with pytest.raises(ModelError, match=r"SSD: .*add mean=0\.5,0\.5,0\.5&std=0\.5,0\.5,0\.5"):
        PLUGIN.prepared(DETECTORS["ssdlite"](), splits(normalisation=IMAGENET))
    assert PLUGIN.prepared(DETECTORS["ssdlite-tiny"](), splits(normalisation=IMAGENET))
    half = Normalisation(mean=(0.5,) * 3, std=(0.5,) * 3)
    assert PLUGIN.prepared(DETECTORS["ssdlite"](), splits(normalisation=half))


class Own(nn.Module):
    def __init__(self, columns=2, returned=tuple, **attributes):
        super().__init__()
        self.body = nn.Conv2d(3, columns + 4, SIZE // 2, SIZE // 2)
        self._columns, self._returned = columns, returned
        for name, value in attributes.items():
            setattr(self, name, value)

    def forward(self, images):
        values = self.body(images).flatten(2).transpose(1, 2)
        both = values[..., : self._columns], values[..., self._columns :]
        return (
            dict(zip((LOGITS, BOXES), both, strict=True))
            if self._returned is dict
            else self._returned(both)
        )


ANCHORS = torch.tensor([[0.0, 0, 32, 32], [32, 0, 64, 32], [0, 32, 32, 64], [32, 32, 64, 64]])


@pytest.mark.parametrize("returned", [tuple, list, dict])
def test_a_network_of_ones_own_says_its_anchors(returned):
    network = Own(returned=returned, anchors=ANCHORS)
    same, task = PLUGIN.prepared(network, splits())
    assert same is network
    images, targets = next(iter(splits().train.epoch(batch_size=2)))
    task.check_outputs(network(images), 2, splits())
    assert float(task.loss(network(images), targets).detach()) > 0


@pytest.mark.parametrize(
    ("network", "told"),
    [
        (Own(), "Own: no anchors.*add an attribute `anchors`"),
        (Own(anchors=ANCHORS[0]), r"anchors are \(4,\), not \(A, 4\)"),
        (Own(anchors=[1, 2]), "anchors are list"),
        (
            Own(anchors=ANCHORS, box_coding="corners"),
            "box_coding is 'corners', not offsets or dist",
        ),
        (Own(columns=5, anchors=ANCHORS), "5 columns .* so it needs 2 or 3"),
        (Own(returned=torch.cat, anchors=ANCHORS), "the model fails on an input of shape"),
        (Own(returned=lambda both: both[0], anchors=ANCHORS), "does not return cls_logits"),
    ],
)
def test_what_a_network_of_ones_own_lacks_is_told(network, told):
    with pytest.raises(ModelError, match=told):
        PLUGIN.prepared(network, splits())
