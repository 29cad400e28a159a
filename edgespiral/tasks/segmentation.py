"""Semantic segmentation: logits (N, C, H, W), a class a pixel, mean intersection over union.

Pixels of one class count for nothing: `IGNORED`, as in PASCAL VOC and Cityscapes, or another that
the data names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from edgespiral.core.errors import DataError, ModelError
from edgespiral.core.records.metric import Metric
from edgespiral.core.stages.graph import Postprocessing
from edgespiral.tasks.base import Task
from edgespiral.tasks.shared.checks import described, labelled_parts, require_target_shape
from edgespiral.tasks.shared.drawing import colour, visible

if TYPE_CHECKING:
    from torch import Tensor

    from edgespiral.core.batches import DataSplits
    from edgespiral.core.stages.graph import StageGraph
    from edgespiral.tasks.base import Pairs

IGNORED = 255
# Of classes over the image.
OPACITY = 0.5
# Mostly the first of so many samples tell.
BATCH_SIZE = 16


class Segmentation(Task):
    """A class a pixel: outputs are logits (N, C, H, W), targets (N, H, W), int64.

    Losses, divergences and distances are means over the pixels of a sample, in nats.

    Args:
        ignored: the class of pixels that count for nothing; None if all count.
    """

    metric = Metric(name="mIoU")
    counted = "pixels"
    # As torchvision's models call it, beside that of an auxiliary head.
    main_output = "out"
    output_name = "logits"

    def __init__(self, ignored: int | None = IGNORED) -> None:
        # No mask has a class below 0.
        self._ignored = -1 if ignored is None else ignored

    def fitted(self, splits: DataSplits) -> tuple[Task, DataSplits]:
        """With the class that counts for nothing in such data."""
        return Segmentation(splits.ignored_class), splits

    def loss(self, outputs: Tensor, targets: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
        """Mean cross-entropy of all pixels that count."""
        losses = F.cross_entropy(
            outputs.float(),
            targets,
            ignore_index=self._ignored,
            label_smoothing=label_smoothing,
            reduction="sum",
        )
        return losses / (targets != self._ignored).sum().clamp_min(1)

    def sample_losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy of each sample's pixels."""
        losses = F.cross_entropy(
            outputs.float(), targets, ignore_index=self._ignored, reduction="none"
        ).flatten(1)
        return losses.sum(1) / self._counting(targets)

    def distance(self, student: Tensor, teachers: Tensor, temperature: float) -> Tensor:
        """tau^2 * KL(softmax(z_t/tau) || softmax(z_s/tau)), a mean over pixels and samples.

        Source: Hinton et al. 2015, section 2, pixel by pixel. Teachers are (T, N, C, H, W).
        """
        soft = F.softmax(teachers / temperature, dim=2).mean(dim=0)
        log_student = F.log_softmax(student / temperature, dim=1)
        return temperature**2 * F.kl_div(log_student, soft, reduction="none").sum(1).mean()

    def divergence(self, outputs: Tensor, reference: Tensor) -> Tensor:
        """Kullback-Leibler divergence of each pixel's softmax, a mean over a sample's pixels."""
        log_outputs, log_reference = outputs.log_softmax(1), reference.log_softmax(1)
        nats = F.kl_div(log_outputs, log_reference, log_target=True, reduction="none").sum(1)
        return nats.flatten(1).mean(1)

    def agreement(self, outputs: Tensor, reference: Tensor) -> Tensor:
        """The share of each sample's pixels for which both name the same class."""
        return (outputs.argmax(1) == reference.argmax(1)).float().flatten(1).mean(1)

    def rightness(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The share of each sample's pixels that are right."""
        right = (outputs.argmax(1) == targets) & (targets != self._ignored)
        return right.float().flatten(1).sum(1) / self._counting(targets)

    def targets_of(self, outputs: Tensor) -> Tensor:
        """The class that the teacher names of each pixel."""
        return outputs.argmax(1)

    def chance(self, targets: Tensor) -> float | None:
        """The share of the commonest class among all pixels."""
        counting = targets[targets != self._ignored]
        return int(counting.bincount().max()) / len(counting) if len(counting) else None

    def decisions(self, targets: Tensor) -> int:
        """As many as there are pixels that count."""
        return max(1, int((targets != self._ignored).sum()))

    def score_of(self, pairs: Pairs) -> float:
        """Mean over classes of intersection over union of all pixels of the pass, in percent.

        Classes that neither the targets nor the outputs have do not count, and neither does the
        ignored one; pixels that are told to be of it are missed ones of their class.

        Raises:
            DataError: no pixel counts, so that there is none.
        """
        counts: Tensor | int = 0
        for logits, masks in pairs:
            # Counted where the logits are, so that no batch waits for the one before.
            counts = counts + self._confusion(logits, masks.to(logits.device))
        if isinstance(counts, int) or not bool(counts.any()):
            raise DataError(f"mIoU is undefined: {self._nothing_counts}")
        both = counts.diagonal().double()
        either = counts.sum(0) + counts.sum(1) - both
        has_pixels = either > 0
        if 0 <= self._ignored < len(both):
            has_pixels[self._ignored] = False
        return 100.0 * float((both / either)[has_pixels].mean())

    def allowed_difference(self, expected: float, samples: int, turned_share: float) -> float:  # noqa: ARG002
        """The share of pixels that may turn over, in points: samples are many pixels each."""
        return 100 * turned_share

    def postprocessing(self) -> Postprocessing:
        """The likeliest class of each pixel."""
        return Postprocessing("arg-max of each pixel", _classes, _add_classes)

    def pictures(
        self,
        inputs: Tensor,
        outputs: Tensor,
        targets: Tensor,  # noqa: ARG002
        splits: DataSplits,
    ) -> Tensor | None:
        """Each image under the classes of its pixels; None of images that have no colours."""
        from torchvision.utils import draw_segmentation_masks

        if inputs.shape[1] not in (1, 3):
            return None
        pixels, factor = visible(inputs, splits.normalisation)
        classes = F.interpolate(outputs, scale_factor=factor, mode="nearest").argmax(1)
        numbers = range(outputs.shape[1])
        drawn = [
            draw_segmentation_masks(
                image,
                torch.stack([classmap == number for number in numbers]),
                alpha=OPACITY,
                colors=[colour(number) for number in numbers],
            )
            for image, classmap in zip(pixels, classes, strict=True)
        ]
        return torch.stack(drawn)

    def check_data(self, splits: DataSplits) -> None:
        """A mask a sample, as large as the image, and in every split a pixel that counts.

        Raises:
            DataError: one class a sample, masks of another size, or a split without such a pixel.
        """
        if splits.inputs is not None:
            what = "has several inputs a sample, of which none is said to be the image"
            raise DataError(what, where=splits.name, hint="give a task of your own")
        masks = f"masks of {splits.input_shape[1:]}, (height, width) of the images"
        hint = "each sample is (image (C, H, W) float32, mask (H, W) int64)"
        require_target_shape(splits, 2, masks, hint)
        if len(splits.input_shape) != 3 or splits.target_shape != splits.input_shape[1:]:
            raise DataError(
                f"masks are {splits.target_shape}, not {masks}", where=splits.name, hint=hint
            )
        for part, source in labelled_parts(splits):
            batches = source.epoch(batch_size=BATCH_SIZE)
            if not any(bool((masks != self._ignored).any()) for _, masks in batches):
                where = f"{splits.name}: {part}"
                raise DataError(f"{self._nothing_counts}, so mIoU is undefined", where=where)

    def check_outputs(self, outputs: object, samples: int, splits: DataSplits) -> None:
        """Finite logits (samples, classes, height, width).

        Raises:
            ModelError: anything else.
        """
        expected = (samples, len(splits.class_names), *splits.input_shape[1:])
        if not isinstance(outputs, torch.Tensor):
            what, hint = described(outputs), 'return one tensor, such as outputs["out"]'
        elif tuple(outputs.shape) != expected or not outputs.is_floating_point():
            kind = str(outputs.dtype).removeprefix("torch.")
            what = f"a {kind} tensor {tuple(outputs.shape)}"
            hint = "return logits for each class of the data and pixel of the image, scaled up"
        elif not bool(outputs.isfinite().all()):
            raise ModelError("the model returns NaN or infinite logits", hint="check its weights")
        else:
            return
        raise ModelError(f"the model returns {what}, not logits of shape {expected}", hint=hint)

    @property
    def _nothing_counts(self) -> str:
        return f"every pixel is of class {self._ignored}, which counts for nothing"

    def _counting(self, masks: Tensor) -> Tensor:
        """How many pixels of each sample count, (N,), at least 1."""
        return (masks != self._ignored).flatten(1).sum(1).clamp_min(1)

    def _confusion(self, logits: Tensor, masks: Tensor) -> Tensor:
        """(C, C) counts of pixels by what they are and what they are told to be."""
        classes = logits.shape[1]
        classes_told, counting = logits.argmax(1), masks != self._ignored
        places = masks[counting] * classes + classes_told[counting]
        return places.bincount(minlength=classes**2).reshape(classes, classes)


def _classes(logits: Tensor) -> dict[str, Tensor]:
    return {"classes": logits.argmax(1)}


def _add_classes(graph: StageGraph, logits: str) -> dict[str, str]:
    return {"classes": graph.add("ArgMax", logits, axis=1, keepdims=0)}


PLUGIN = Segmentation()
