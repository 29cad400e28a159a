"""A detector without its network: anchors, losses and decoding, as torchvision has them.

`compute_loss` and `postprocess_detections` of torchvision's detectors need none of their weights.
So a frame is such a detector, the user's own or one around nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn
from torchvision.models.detection import FCOS, RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator, DefaultBoxGenerator
from torchvision.models.detection.fcos import FCOSHead
from torchvision.models.detection.retinanet import RetinaNetHead
from torchvision.models.detection.ssd import SSD
from torchvision.ops import box_iou

from edgespiral.tasks.detection.outputs import BOXES, CENTRENESS, LOGITS, objects_of

if TYPE_CHECKING:
    from edgespiral.tasks.detection.outputs import Objects, Outputs

# How boxes are told: offsets from an anchor, or distances from its centre to the four sides.
Coding = Literal["offsets", "distances"]
# What group normalisation in FCOS's head divides by; nothing is computed with it here.
ANY_WIDTH = 32
# A logit that makes nothing of a factor.
CERTAIN = 30.0


@dataclass(frozen=True)
class Frame:
    """What is left of a detector without its network.

    Attributes:
        detector: torchvision's, whose losses and thresholds are used, and none of whose weights.
        anchors: (A, 4), corners in pixels of the network's input.
        levels: how many anchors each feature map has, in order.
        size: height and width of the input, in pixels.
        offset: which column of the logits class 0 has.
    """

    detector: Any
    anchors: Tensor
    levels: tuple[int, ...]
    size: tuple[int, int]
    offset: int

    def loss(self, outputs: Outputs, targets: Tensor) -> Tensor:
        """The sum of torchvision's losses of a batch, a scalar."""
        anchors = self._anchors(outputs)
        losses = self._losses(outputs, objects_of(targets, self.offset), anchors)
        return torch.stack(list(losses.values())).sum()

    def scores(self, outputs: Outputs) -> Tensor:
        """How sure each anchor is of each class, (N, A, classes), from 0 to 1."""
        return outputs[LOGITS].sigmoid()[..., self.offset :]

    def class_divergence(self, outputs: Outputs, reference: Outputs, temperature: float) -> Tensor:
        """Kullback-Leibler divergence of each anchor's classes from the reference's, (N, A)."""
        return _binary_divergence(outputs[LOGITS], reference[LOGITS], temperature)

    def detections(self, outputs: Outputs) -> list[Objects]:
        """Of each image `boxes` (n, 4) in pixels, `scores` and `labels` (n,), best first."""
        sizes = list(self.levels)
        anchors = [list(torch.split(boxes, sizes)) for boxes in self._anchors(outputs)]
        by_level = {name: list(torch.split(part, sizes, 1)) for name, part in outputs.items()}
        by_image = self.detector.postprocess_detections(
            by_level, anchors, [self.size] * len(anchors)
        )
        return [_of_classes(detections, self.offset) for detections in by_image]

    def _losses(
        self, outputs: Outputs, objects: list[Objects], anchors: list[Tensor]
    ) -> dict[str, Tensor]:
        losses: dict[str, Tensor] = self.detector.compute_loss(objects, outputs, anchors)
        return losses

    def _anchors(self, outputs: Outputs) -> list[Tensor]:
        anchors = self.anchors.to(outputs[LOGITS].device)
        return [anchors] * len(outputs[LOGITS])


class SsdFrame(Frame):
    """Of SSD: softmax over the classes and, in column 0, the background."""

    def scores(self, outputs: Outputs) -> Tensor:
        """See `Frame.scores`."""
        return outputs[LOGITS].softmax(-1)[..., self.offset :]

    def class_divergence(self, outputs: Outputs, reference: Outputs, temperature: float) -> Tensor:
        """See `Frame.class_divergence`."""
        ours, theirs = (
            (part[LOGITS] / temperature).log_softmax(-1) for part in (outputs, reference)
        )
        apart = nn.functional.kl_div(ours, theirs, log_target=True, reduction="none").sum(-1)
        return temperature**2 * apart

    def detections(self, outputs: Outputs) -> list[Objects]:
        """See `Frame.detections`."""
        anchors = self._anchors(outputs)
        sizes = [self.size] * len(anchors)
        by_image = self.detector.postprocess_detections(outputs, anchors, sizes)
        return [_of_classes(detections, self.offset) for detections in by_image]

    def _losses(
        self, outputs: Outputs, objects: list[Objects], anchors: list[Tensor]
    ) -> dict[str, Tensor]:
        matched = [self._matched(target["boxes"], anchors[0]) for target in objects]
        losses: dict[str, Tensor] = self.detector.compute_loss(objects, outputs, anchors, matched)
        return losses

    def _matched(self, boxes: Tensor, anchors: Tensor) -> Tensor:
        """The object of each anchor, (A,), -1 for none, as `SSD.forward` has it."""
        if not len(boxes):
            return torch.full((len(anchors),), -1, dtype=torch.int64, device=anchors.device)
        matched: Tensor = self.detector.proposal_matcher(box_iou(boxes, anchors))
        return matched


class FcosFrame(Frame):
    """Of FCOS: distances to the four sides, and how near an anchor is to the centre.

    Where the network has no such output, the class's score is all.
    """

    def loss(self, outputs: Outputs, targets: Tensor) -> Tensor:
        """See `Frame.loss`."""
        return super().loss(_with_centreness(outputs), targets)

    def scores(self, outputs: Outputs) -> Tensor:
        """See `Frame.scores`."""
        whole = _with_centreness(outputs)
        return (super().scores(outputs) * whole[CENTRENESS].sigmoid()).sqrt()

    def class_divergence(self, outputs: Outputs, reference: Outputs, temperature: float) -> Tensor:
        """See `Frame.class_divergence`; with that of how central an anchor is."""
        ours, theirs = (_with_centreness(part)[CENTRENESS] for part in (outputs, reference))
        central = _binary_divergence(ours, theirs, temperature)
        return super().class_divergence(outputs, reference, temperature) + central

    def detections(self, outputs: Outputs) -> list[Objects]:
        """See `Frame.detections`."""
        return super().detections(_with_centreness(outputs))

    def _losses(
        self, outputs: Outputs, objects: list[Objects], anchors: list[Tensor]
    ) -> dict[str, Tensor]:
        losses: dict[str, Tensor] = self.detector.compute_loss(
            objects, outputs, anchors, list(self.levels)
        )
        return losses


def empty_frame(
    anchors: Tensor, size: tuple[int, int], *, classes: int, columns: int, coding: Coding
) -> Frame:
    """The frame of a network that is not torchvision's.

    Args:
        anchors: (A, 4).
        size: height and width of the input.
        classes: of the data.
        columns: of the logits: as many as classes, or one more for the background, in column 0.
        coding: `distances` to the sides in sizes of the anchor, as FCOS has them, or `offsets` from
            the anchor, as SSD (with a background) and RetinaNet have them.
    """
    offset, whole = columns - classes, (len(anchors),)
    body = nn.Identity()
    body.out_channels = ANY_WIDTH  # type: ignore[assignment]
    if coding == "distances":
        head = FCOSHead(ANY_WIDTH, 1, columns, num_convs=1)
        # It wants a generator of one anchor a place, and is never asked for any.
        detector = FCOS(body, columns, head=head, score_thresh=0.05)
        return FcosFrame(detector, anchors, _levels(anchors), size, offset)
    if offset:
        boxes = DefaultBoxGenerator([[]])
        ssd = SSD(body, boxes, size, columns, head=nn.Identity(), score_thresh=0.01)
        return SsdFrame(ssd, anchors, whole, size, offset)
    generator = AnchorGenerator(((1,),), ((1.0,),))
    retina = RetinaNet(
        body, columns, anchor_generator=generator, head=RetinaNetHead(ANY_WIDTH, 1, columns)
    )
    return Frame(retina, anchors, whole, size, offset)


def _levels(anchors: Tensor) -> tuple[int, ...]:
    """How many anchors each feature map has, where all anchors of one have the same area."""
    areas = ((anchors[:, 2:] - anchors[:, :2]).prod(1)).round(decimals=2)
    _, counts = torch.unique_consecutive(areas, return_counts=True)
    return tuple(counts.tolist())


def _binary_divergence(logits: Tensor, reference: Tensor, temperature: float) -> Tensor:
    """The sum over the last dimension of those of each class by itself, times tau^2."""
    ours, theirs = logits / temperature, reference / temperature
    probabilities = theirs.sigmoid()
    cross = nn.functional.binary_cross_entropy_with_logits(ours, probabilities, reduction="none")
    own = nn.functional.binary_cross_entropy_with_logits(theirs, probabilities, reduction="none")
    return temperature**2 * (cross - own).sum(-1)


def _with_centreness(outputs: Outputs) -> Outputs:
    if CENTRENESS in outputs:
        return outputs
    return outputs | {CENTRENESS: torch.full_like(outputs[BOXES][..., :1], CERTAIN)}


def _of_classes(objects: Objects, offset: int) -> Objects:
    """Detections with labels from 0, without those of the background."""
    is_object = objects["labels"] >= offset
    return {
        "boxes": objects["boxes"][is_object],
        "scores": objects["scores"][is_object],
        "labels": objects["labels"][is_object] - offset,
    }
