"""What detection is scored by, and how far a detector is from objects and from another one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import box_iou
from torchvision.utils import draw_bounding_boxes

from edgespiral.core.errors import DataError, ModelError, UsageError
from edgespiral.core.records.metric import Metric
from edgespiral.tasks.base import Task
from edgespiral.tasks.detection.network import SEE, is_torchvisions, own_frame, taken_apart
from edgespiral.tasks.detection.outputs import BOXES, LOGITS, by_name, objects_of, one_sample
from edgespiral.tasks.detection.precision import PLACES, MetricName, average_precision
from edgespiral.tasks.detection.stage import detections
from edgespiral.tasks.detection.targets import HINT, check_targets, row_problem
from edgespiral.tasks.shared.checks import described, only_option
from edgespiral.tasks.shared.drawing import colour, visible

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import nn

    from edgespiral.core.batches import DataSplits
    from edgespiral.core.nested import Tensors
    from edgespiral.core.stages.graph import Postprocessing
    from edgespiral.tasks.base import Pairs
    from edgespiral.tasks.detection.frames import Coding, Frame
    from edgespiral.tasks.detection.outputs import Objects, Outputs

# An anchor counts by how sure the reference is that it has an object, and by this if it has none:
# nearly all have none, and together they say where no object is.
BACKGROUND_SHARE = 0.02
# How sure is sure, and how much overlap is the same place.
SURE, SAME_PLACE = 0.5, 0.5
# Of detections in pictures, the least score.
DRAWN = 0.3


class Detection(Task):
    """Class logits and boxes for each anchor, and the objects of each image.

    Outputs are a mapping or a tuple of `cls_logits` (N, A, C) and `bbox_regression` (N, A, 4), of
    FCOS with `bbox_ctrness` (N, A, 1). C is the number of classes, each by itself (sigmoid), or one
    more with the background in column 0 (softmax). Targets are (N, rows, 5), see `packed` in
    `edgespiral.data.boxes.pictures`.

    Args:
        anchors: (A, 4), corners in pixels of the network's input. Not needed for SSD, RetinaNet and
            FCOS of torchvision, nor for a model with an attribute `anchors`.
        coding: `offsets` from the anchor's centre and size (with a background in units of a tenth
            and a fifth, as SSD has them; else as RetinaNet), or `distances` to the four sides in
            sizes of the anchor, as FCOS has them. A model's attribute `box_coding` says the same.
        metric: `AP50`, or COCO's `AP`.

    Example:
        >>> task = Detection(anchors=torch.tensor([[0.0, 0, 8, 8], [8, 0, 16, 8]]))
        >>> task.metric.label
        'AP50 %'
    """

    counted = "objects"
    timed = "the dense network, without decoding its boxes and NMS"

    def __init__(
        self,
        anchors: Tensor | None = None,
        *,
        coding: Coding | None = None,
        metric: MetricName = "AP50",
    ) -> None:
        if metric not in PLACES:
            raise UsageError(f"the metric is AP50 or AP, not {metric!r}", where="Detection")
        self.metric = Metric(name=metric)
        # The other of the two is told beside it.
        self._names: tuple[MetricName, MetricName] = (
            ("AP", "AP50") if metric == "AP" else ("AP50", "AP")
        )
        self.beside = (Metric(name=self._names[1]),)
        self._anchors, self._coding = anchors, coding
        self._frame: Frame | None = None

    def configured(self, options: Mapping[str, str]) -> Detection:
        """`detection?metric=AP`: COCO's average precision in place of that at an overlap of 0.5.

        Raises:
            UsageError: another option or metric.
        """
        name = only_option(options, "metric", list(PLACES), self._names[0])
        return Detection(
            self._anchors, coding=self._coding, metric="AP" if name == "AP" else "AP50"
        )

    def prepared(self, model: nn.Module, splits: DataSplits) -> tuple[nn.Module, Task]:
        """The dense network of `model`, and this task with its anchors.

        Raises:
            ModelError: it is no detector, or one of two stages.
            DataError: the data has no images or no names of classes.
        """
        self.check_data(splits)
        if is_torchvisions(model):
            network, frame = taken_apart(model, splits)
            return network, self._with(frame)
        return model, self._with(own_frame(model, self._anchors, self._coding, splits))

    def loss(self, outputs: Tensors, targets: Tensors, *, label_smoothing: float = 0.0) -> Tensor:  # noqa: ARG002
        """The sum of the losses of torchvision's detector of this kind."""
        named = _named(outputs)
        return self.frame.loss(named, _rows(targets, named))

    def sample_losses(self, outputs: Tensors, targets: Tensors) -> Tensor:
        """The same, of each image by itself."""
        named = _named(outputs)
        rows = _rows(targets, named)
        losses = [
            self.frame.loss(one_sample(named, at), rows[at : at + 1]) for at in range(len(rows))
        ]
        return torch.stack(losses)

    def distance(self, student: Tensors, teachers: Tensors, temperature: float) -> Tensor:
        """See `divergence`; classes are softened by the temperature, as in Hinton et al. 2015."""
        ours, theirs = _named(student), _named(teachers)
        apart = [
            self._apart(ours, {name: part[at] for name, part in theirs.items()}, temperature)
            for at in range(len(theirs[LOGITS]))
        ]
        return torch.stack(apart).mean()

    def divergence(self, outputs: Tensors, reference: Tensors) -> Tensor:
        """Of each image, how far classes and boxes are from the reference's.

        A mean over anchors, weighted by how sure the reference is of an object: Kullback-Leibler
        divergence of the classes in nats, and smooth L1 of the boxes.
        """
        return self._apart(_named(outputs), _named(reference), 1.0)

    def agreement(self, outputs: Tensors, reference: Tensors) -> Tensor:
        """Of the anchors that either is sure of, the share that both name the same."""
        ours, theirs = (self.frame.scores(_named(part)) for part in (outputs, reference))
        sure = ours.amax(-1), theirs.amax(-1)
        same = ours.argmax(-1) == theirs.argmax(-1)
        counts = torch.maximum(*sure) >= SURE
        same &= torch.minimum(*sure) >= SURE * torch.maximum(*sure)
        shares = (counts & same).sum(1) / counts.sum(1).clamp_min(1)
        return torch.where(counts.any(1), shares, torch.ones_like(shares))

    def rightness(self, outputs: Tensors, targets: Tensors) -> Tensor:
        """The share of an image's objects among as many of its best detections.

        Of an image without any, one less the best score.
        """
        named = _named(outputs)
        pairs = zip(self.frame.detections(named), objects_of(_rows(targets, named)), strict=True)
        return torch.tensor([_right_share(objects, truth) for objects, truth in pairs])

    def chance(self, targets: Tensors) -> float:
        """The share of images without an object: those which finding nothing is right for."""
        there = _tensor(targets)[..., 0] >= 0
        return float((~there.any(1)).float().mean())

    def decisions(self, targets: Tensors) -> int:
        """As many as there are objects."""
        return max(1, int((_tensor(targets)[..., 0] >= 0).sum()))

    def score_of(self, pairs: Pairs) -> float:
        """Average precision over all images of the pass, in percent."""
        return average_precision(*self._objects_and_truth(pairs), self._names[0])

    def scores_beside(self, pairs: Pairs) -> tuple[float, ...]:
        """The other average precision, in percent."""
        return (average_precision(*self._objects_and_truth(pairs), self._names[1]),)

    def pictures(
        self,
        inputs: Tensors,
        outputs: Tensors,
        targets: Tensors,  # noqa: ARG002
        splits: DataSplits,
    ) -> Tensor | None:
        """Each image with its boxes, classes and scores."""
        images = _tensor(inputs)
        if images.shape[1] not in (1, 3):
            return None
        pixels, factor = visible(images, splits.normalisation)
        objects = self.frame.detections(_named(outputs))
        return torch.stack(
            [
                _drawn(image, in_image, factor, splits.class_names)
                for image, in_image in zip(pixels, objects, strict=True)
            ]
        )

    def check_data(self, splits: DataSplits) -> None:
        """Images with rows of objects.

        Raises:
            DataError: targets are of another form, or a box has no area or is outside of its image.
        """
        if len(splits.input_shape) != 3 or splits.token_count is not None:
            raise DataError(f"inputs are {splits.input_shape}, not images", where=splits.name)
        if splits.target_shape is not None:
            what = "targets are classes" + (
                " or masks" if splits.target_shape else ", one a sample"
            )
            raise DataError(f"{what}, not rows of objects", where=splits.name, hint=HINT)
        check_targets(splits)

    def target_problem(self, targets: Tensors, splits: DataSplits) -> tuple[int, str] | None:
        """A box of no area or outside of its image, or of a class that there is not."""
        return row_problem(targets, splits)

    def check_outputs(self, outputs: object, samples: int, splits: DataSplits) -> None:
        """Logits and boxes for each anchor, finite.

        Raises:
            ModelError: anything else.
        """
        named = by_name(outputs)
        columns = len(splits.class_names) + self.frame.offset
        rows = (samples, len(self.frame.anchors))
        expected = f"{LOGITS} {(*rows, columns)} and {BOXES} {(*rows, 4)}"
        if named is None:
            raise ModelError(
                f"the model returns {described(outputs)}, not {expected}",
                hint=f"return a tuple or a mapping of these; {SEE}",
            )
        shapes = [tuple(named[LOGITS].shape), tuple(named[BOXES].shape)]
        if shapes != [(*rows, columns), (*rows, 4)]:
            raise ModelError(
                f"the model returns {LOGITS} {shapes[0]} and {BOXES} {shapes[1]}, not {expected}",
                hint=f"a row for each of the anchors, which the data's classes fit; {SEE}",
            )
        if not all(bool(part.isfinite().all()) for part in named.values()):
            raise ModelError("the model returns NaN or infinite values", hint="check its weights")

    def postprocessing(self) -> Postprocessing:
        """Boxes decoded, and without those that overlap better ones.

        Raises:
            UsageError: as `frame`.
        """
        return detections(self.frame)

    @property
    def frame(self) -> Frame:
        """Anchors, losses and decoding.

        Raises:
            UsageError: the task does not know its model yet.
        """
        if self._frame is None:
            raise UsageError(
                "detection needs the anchors of a model",
                where="task",
                hint="give Detection(anchors=...), or take that of task.prepared(model, splits)",
            )
        return self._frame

    def _with(self, frame: Frame) -> Detection:
        bound = Detection(self._anchors, coding=self._coding, metric=self._names[0])
        bound._frame = frame
        return bound

    def _objects_and_truth(self, pairs: Pairs) -> tuple[list[Objects], list[Objects]]:
        """Detections and objects of each image."""
        objects: list[Objects] = []
        truth: list[Objects] = []
        for outputs, targets in pairs:
            objects += self.frame.detections(_named(outputs))
            truth += objects_of(_tensor(targets))
        return objects, truth

    def _apart(self, outputs: Outputs, reference: Outputs, temperature: float) -> Tensor:
        """The distance of each sample, (N,)."""
        sure = self.frame.scores(reference).detach().amax(-1)
        classes = self.frame.class_divergence(outputs, reference, temperature)
        boxes = F.smooth_l1_loss(outputs[BOXES], reference[BOXES], reduction="none").sum(-1)
        weights = sure.clamp_min(BACKGROUND_SHARE)
        return (weights * classes + sure * boxes).sum(1) / weights.sum(1)


def _named(outputs: Tensors) -> Outputs:
    """Outputs by name.

    Raises:
        ModelError: they are of another form.
    """
    named = by_name(outputs)
    if named is None:
        raise ModelError(
            f"the model returns {described(outputs)}, not {LOGITS} and {BOXES}", hint=SEE
        )
    return named


def _drawn(image: Tensor, objects: Objects, factor: int, classes: Sequence[str]) -> Tensor:
    """An image with the boxes that are likely enough."""
    is_drawn = objects["scores"] >= DRAWN
    labels, scores = objects["labels"][is_drawn].tolist(), objects["scores"][is_drawn].tolist()
    words = [f"{classes[label]} {score:.2f}" for label, score in zip(labels, scores, strict=True)]
    if not words:
        return image
    boxes, colours = factor * objects["boxes"][is_drawn], [colour(label) for label in labels]
    drawn: Tensor = draw_bounding_boxes(image, boxes, words, colours, width=2)
    return drawn


def _tensor(targets: Tensors) -> Tensor:
    if not isinstance(targets, Tensor):
        raise DataError(f"targets are {described(targets)}, not rows of objects", hint=HINT)
    return targets


def _rows(targets: Tensors, outputs: Outputs) -> Tensor:
    """Targets where the outputs are."""
    return _tensor(targets).to(outputs[LOGITS].device)


def _right_share(objects: Objects, truth: Objects) -> float:
    """How right the best detections of one image are, see `Detection.rightness`."""
    count = len(truth["labels"])
    if not count:
        return 1.0 - float(objects["scores"].max()) if len(objects["scores"]) else 1.0
    best = objects["scores"].argsort(descending=True)[:count]
    overlaps = box_iou(truth["boxes"], objects["boxes"][best])
    overlaps[truth["labels"][:, None] != objects["labels"][best][None]] = 0.0
    # Each detection stands for one object, the better ones first.
    free = torch.ones(count, dtype=torch.bool, device=overlaps.device)
    for column in overlaps.unbind(1):
        overlap, at = (column * free).max(0)
        free[at] &= overlap < SAME_PLACE
    return 1.0 - float(free.float().mean())
