"""Average precision of detections, as COCO defines it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from edgespiral.core.errors import DataError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgespiral.tasks.detection.outputs import Objects

MetricName = Literal["AP50", "AP"]
# Where `COCOeval.stats` has them.
PLACES: dict[MetricName, int] = {"AP": 0, "AP50": 1}
MOST_DETECTIONS = 100


def average_precision(
    detections: Sequence[Objects], objects: Sequence[Objects], metric: MetricName = "AP50"
) -> float:
    """Mean over classes that have an object of average precision, in percent.

    Source: Lin et al. 2014 (COCO); 101 points of recall, at most 100 detections an image or as many
    as one has objects. `AP50` is at an overlap (IoU) of 0.5, `AP` the mean of 0.5, 0.55, ... 0.95.

    Args:
        detections: of each image `boxes` (n, 4), `scores` (n,) and `labels` (n,).
        objects: of each image `boxes` (n, 4) and `labels` (n,).
        metric: which of the two.

    Raises:
        MissingExtraError: faster-coco-eval is not installed.
        DataError: no image has an object.
    """
    try:
        from faster_coco_eval import COCO, COCOeval_faster
    except ImportError:
        raise MissingExtraError("average precision", "detection") from None
    annotations = [
        {
            "id": 0,
            "image_id": image,
            "category_id": label,
            "bbox": box,
            "area": box[2] * box[3],
            "iscrowd": 0,
        }
        for image, boxes in enumerate(objects)
        for box, label in zip(_corner_and_sides(boxes), boxes["labels"].tolist(), strict=True)
    ]
    if not annotations:
        raise DataError("average precision is not defined where no image has an object")
    for number, annotation in enumerate(annotations, 1):
        annotation["id"] = number
    results = [
        {"image_id": image, "category_id": label, "bbox": box, "score": score}
        for image, boxes in enumerate(detections)
        for box, label, score in zip(
            _corner_and_sides(boxes),
            boxes["labels"].tolist(),
            boxes["scores"].tolist(),
            strict=True,
        )
    ]
    if not results:
        return 0.0
    labels = {row["category_id"] for row in (*annotations, *results)}
    truth = COCO(
        {
            "images": [{"id": image} for image in range(len(objects))],
            "annotations": annotations,
            "categories": [{"id": label, "name": str(label)} for label in sorted(labels)],
        }
    )
    evaluation = COCOeval_faster(truth, truth.loadRes(results), "bbox", print_function=_silent)
    most = max(len(boxes["labels"]) for boxes in objects)
    evaluation.params.maxDets = [1, 10, max(MOST_DETECTIONS, most)]
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return 100.0 * float(np.asarray(evaluation.stats)[PLACES[metric]])


def _silent(*_: object) -> None:
    pass


def _corner_and_sides(objects: Objects) -> list[list[float]]:
    boxes = objects["boxes"].detach().double().cpu().clone()
    boxes[:, 2:] -= boxes[:, :2]
    rows: list[list[float]] = boxes.tolist()
    return rows
