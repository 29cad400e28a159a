"""The dense network of a detector, and its frame."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any, get_args

import torch
from torch import Tensor, nn
from torchvision.models.detection import FCOS, RetinaNet
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.ssd import SSD
from torchvision.ops import FrozenBatchNorm2d

from edgespiral.core.errors import ModelError, first_few
from edgespiral.core.user_code import user_code
from edgespiral.tasks.detection.frames import Coding, FcosFrame, Frame, SsdFrame, empty_frame
from edgespiral.tasks.detection.outputs import BOXES, LOGITS, by_name

if TYPE_CHECKING:
    from edgespiral.core.batches import DataSplits

FRAMES: dict[type[nn.Module], type[Frame]] = {SSD: SsdFrame, RetinaNet: Frame, FCOS: FcosFrame}
SEE = "see docs/tasks/detection.md#a-detector-of-your-own"


class DenseDetector(nn.Module):
    """The trained part of a detector of torchvision's: images (N, 3, H, W) -> a mapping of outputs.

    It has its parameters under the names that they have there. Frozen batch norms are ones that
    train, since a student's statistics are its own.

    Args:
        detector: an SSD, RetinaNet or FCOS.
    """

    def __init__(self, detector: Any) -> None:  # noqa: ANN401 (torchvision is not typed)
        super().__init__()
        self.backbone: nn.Module = _thawed(detector.backbone)
        self.head: nn.Module = detector.head
        # Which a backbone says by what it returns alone.
        self.has_one_map = False

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        outputs: dict[str, Tensor] = self.head(self.maps(images))
        return outputs

    def maps(self, images: Tensor) -> list[Tensor]:
        """The feature maps (N, C, h, w) of the backbone, the finest first."""
        features = self.backbone(images)
        return [features] if self.has_one_map else list(features.values())


def is_torchvisions(model: nn.Module) -> bool:
    """Whether it is a detector of torchvision's that `taken_apart` knows, or has to refuse."""
    return isinstance(model, (*FRAMES, GeneralizedRCNN))


def taken_apart(detector: Any, splits: DataSplits) -> tuple[DenseDetector, Frame]:  # noqa: ANN401
    """The dense network of a detector of torchvision's, and the rest.

    Raises:
        ModelError: it has two stages, sees other values of pixels than the data has, or fails.
    """
    kind = next((kind for kind in FRAMES if isinstance(detector, kind)), None)
    if kind is None:
        raise ModelError(
            "has two stages, and the second looks at what the first found: it is no dense network",
            where=type(detector).__name__,
            hint="take a detector of one stage: SSDlite, RetinaNet or FCOS",
        )
    _require_normalisation(detector, splits)
    offset = _offset(_columns(detector), splits, needs_background=kind is SSD)
    network = DenseDetector(detector)
    anchors, levels = _anchors(detector, network, splits)
    height, width = splits.input_shape[1:]
    return network, FRAMES[kind](detector, anchors, levels, (height, width), offset)


def own_frame(
    model: nn.Module, anchors: Tensor | None, coding: Coding | None, splits: DataSplits
) -> Frame:
    """The frame of a user's own network.

    Args:
        model: images (N, 3, H, W) -> logits and boxes for each anchor.
        anchors: (A, 4); None for its attribute `anchors`.
        coding: of its boxes; None for its attribute `box_coding`, and for offsets without one.
        splits: the data.

    Raises:
        ModelError: there are no anchors, or these, the outputs or the coding are of another form.
    """
    where = type(model).__name__
    anchors = getattr(model, "anchors", None) if anchors is None else anchors
    box_coding: Coding = getattr(model, "box_coding", "offsets") if coding is None else coding
    if anchors is None:
        hint = f"add an attribute `anchors` (A, 4), corners in pixels; {SEE}"
        raise ModelError("no anchors, so its boxes say nothing", where=where, hint=hint)
    if not isinstance(anchors, Tensor) or anchors.ndim != 2 or anchors.shape[1] != 4:
        what_they_are = (
            tuple(anchors.shape) if isinstance(anchors, Tensor) else type(anchors).__name__
        )
        what = f"anchors are {what_they_are}, not (A, 4): x0, y0, x1, y1 in pixels"
        raise ModelError(what, where=where, hint=SEE)
    if box_coding not in get_args(Coding):
        what = f"box_coding is {box_coding!r}, not {' or '.join(get_args(Coding))}"
        raise ModelError(what, where=where, hint=SEE)
    inputs, _ = next(iter(splits.validation.epoch(batch_size=1)))
    shape = f"the model fails on an input of shape {tuple(splits.input_shape)}"
    with user_code(ModelError, shape, where=where), torch.no_grad():
        outputs = by_name(copy.deepcopy(model).eval()(inputs))
    if outputs is None or any(part.ndim != 3 for part in outputs.values()):
        what = f"does not return {LOGITS} (N, A, C) and {BOXES} (N, A, 4)"
        raise ModelError(what, where=where, hint=SEE)
    height, width = splits.input_shape[1:]
    columns = outputs[LOGITS].shape[-1]
    _offset(columns, splits)
    return empty_frame(
        anchors.detach().float().cpu(),
        (height, width),
        classes=len(splits.class_names),
        columns=columns,
        coding=box_coding,
    )


def _offset(columns: int, splits: DataSplits, *, needs_background: bool = False) -> int:
    """The column of class 0."""
    classes = len(splits.class_names)
    allowed = (classes + 1,) if needs_background else (classes, classes + 1)
    if columns not in allowed:
        names = f"the data has {classes} classes ({first_few(list(splits.class_names))})"
        counts = " or ".join(map(str, allowed))
        raise ModelError(
            f"the detector has {columns} columns of logits and {names}, so it needs {counts}",
            hint="one for each class, with the background in column 0 where there is one",
        )
    return columns - classes


def _columns(detector: Any) -> int:  # noqa: ANN401
    head = detector.head.classification_head
    columns: int = head.num_columns if isinstance(detector, SSD) else head.num_classes
    return columns


@torch.no_grad()
def _anchors(
    detector: Any,  # noqa: ANN401
    network: DenseDetector,
    splits: DataSplits,
) -> tuple[Tensor, tuple[int, ...]]:
    """Anchors (A, 4) for the data's size, and how many each feature map has."""
    images = torch.zeros(1, *splits.input_shape)
    failed = f"the detector fails on an input of shape {tuple(images.shape)}"
    with user_code(ModelError, failed, where=type(detector).__name__):
        body = copy.deepcopy(network).eval()
        body.has_one_map = network.has_one_map = isinstance(body.backbone(images), Tensor)
        maps = body.maps(images)
        sizes = [tuple(splits.input_shape[1:])]
        [anchors] = detector.anchor_generator(ImageList(images, sizes), maps)
    counts = detector.anchor_generator.num_anchors_per_location()
    places = (feature_map.shape[-2] * feature_map.shape[-1] for feature_map in maps)
    return anchors, tuple(count * place for count, place in zip(counts, places, strict=True))


def _require_normalisation(detector: Any, splits: DataSplits) -> None:  # noqa: ANN401
    """Refuse pixels of other values than the detector's own transform would make."""
    normalisation = splits.normalisation
    if normalisation is None:
        return
    of_detector = detector.transform.image_mean, detector.transform.image_std
    for ours, theirs in zip((normalisation.mean, normalisation.std), of_detector, strict=True):
        if not all(math.isclose(a, b, rel_tol=1e-2) for a, b in zip(ours, theirs, strict=True)):
            mean, std = (",".join(f"{value:.6g}" for value in values) for values in of_detector)
            raise ModelError(
                f"the detector was made for pixels less {mean}, divided by {std}, and the data has "
                "others",
                where=type(detector).__name__,
                hint=f"add mean={mean}&std={std} to --data",
            )


def _thawed(module: nn.Module) -> nn.Module:
    """The same with batch norms that train in place of frozen ones."""
    if not any(isinstance(layer, FrozenBatchNorm2d) for layer in module.modules()):
        return module
    thawed = copy.deepcopy(module)
    for path, layer in list(thawed.named_modules()):
        if isinstance(layer, FrozenBatchNorm2d):
            norm = nn.BatchNorm2d(len(layer.weight), eps=layer.eps)
            norm.load_state_dict(layer.state_dict(), strict=False)
            thawed.set_submodule(path, norm)
    return thawed
