"""Decoding of boxes and suppression of those that overlap, as a graph that computes torchvision's.

`Frame.detections` is the reference. The graph ends in ONNX's own `NonMaxSuppression`, which every
runtime that has it runs by a kernel of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from torchvision.models.detection._utils import BoxLinearCoder

from edgespiral.core.errors import ModelError
from edgespiral.core.stages.graph import Postprocessing
from edgespiral.tasks.detection.frames import FcosFrame, SsdFrame
from edgespiral.tasks.detection.outputs import BOXES, CENTRENESS, LOGITS, NAMES, by_name

if TYPE_CHECKING:
    from edgespiral.core.nested import Tensors
    from edgespiral.core.stages.graph import StageGraph
    from edgespiral.tasks.detection.frames import Frame
    from edgespiral.tasks.detection.outputs import Objects

# `frames` makes a graph of one image.
FOUND = ("boxes", "scores", "labels")


def detections(frame: Frame) -> Postprocessing:
    """Boxes of a frame's outputs, decoded, without those that overlap better ones.

    Args:
        frame: with anchors and thresholds.
    """

    def apply(outputs: Tensors) -> Objects:
        named = by_name(outputs)
        if named is None:
            raise ModelError(f"the outputs are not {LOGITS} and {BOXES}")
        [objects] = frame.detections(named)
        return {name: objects[name] for name in FOUND}

    def add(graph: StageGraph, outputs: Tensors) -> dict[str, str]:
        named = outputs if isinstance(outputs, Mapping) else dict(zip(NAMES, outputs, strict=False))
        return _Detections(frame, graph).added(named)

    return Postprocessing("decode boxes, non-maximum suppression", apply, add)


class _Detections:
    """The operators of one frame's detections."""

    def __init__(self, frame: Frame, graph: StageGraph) -> None:
        self._frame, self._graph = frame, graph

    def added(self, outputs: Mapping[str, str]) -> dict[str, str]:
        """The names of boxes (n, 4), scores (n,) and labels (n,), by the names of outputs."""
        graph, detector = self._graph, self._frame.detector
        boxes = self._boxes(outputs[BOXES])
        scores = self._classes_first(self._limited(self._scores(outputs)))
        most = self._whole(detector.detections_per_img)
        overlap, least = self._float(detector.nms_thresh), self._float(detector.score_thresh)
        # Rows of image, class and box.
        places = graph.add("NonMaxSuppression", boxes, scores, most, overlap, least)
        values = graph.add("GatherND", scores, places)
        count = graph.add("Min", graph.add("Shape", values), most)
        best, order = graph.add_several("TopK", values, count, count=2)
        rows = graph.add("Gather", places, order)
        labels, at = (self._column(rows, column) for column in (1, 2))
        only = graph.add("Squeeze", boxes, self._whole(0))
        return dict(zip(FOUND, (graph.add("Gather", only, at), best, labels), strict=True))

    def _scores(self, outputs: Mapping[str, str]) -> str:
        """How sure each anchor is of each column of the logits, (1, A, columns)."""
        graph, logits = self._graph, outputs[LOGITS]
        if isinstance(self._frame, SsdFrame):
            return graph.add("Softmax", logits, axis=2)
        scores = graph.add("Sigmoid", logits)
        if not isinstance(self._frame, FcosFrame) or CENTRENESS not in outputs:
            is_sqrt = isinstance(self._frame, FcosFrame)
            return graph.add("Sqrt", scores) if is_sqrt else scores
        central = graph.add("Sigmoid", outputs[CENTRENESS])
        return graph.add("Sqrt", graph.add("Mul", scores, central))

    def _limited(self, scores: str) -> str:
        """Scores of no more candidates than the detector looks at, 0 for all others."""
        graph, most = self._graph, int(self._frame.detector.topk_candidates)
        if isinstance(self._frame, SsdFrame):
            # Of each class by itself.
            count = len(self._frame.anchors)
            if count <= most:
                return scores
            best, _ = graph.add_several("TopK", scores, self._whole(most), count=2, axis=1)
            return self._from_up(scores, self._last(best, most))
        levels = self._frame.levels
        if len(levels) == 1:
            return self._level_limited(scores, most)
        sizes = graph.constant(np.array(levels, np.int64))
        parts = graph.add_several("Split", scores, sizes, count=len(levels), axis=1)
        return graph.add("Concat", *(self._level_limited(part, most) for part in parts), axis=1)

    def _level_limited(self, scores: str, most: int) -> str:
        """The same of one feature map, of all classes together."""
        graph = self._graph
        flat = graph.add("Reshape", scores, graph.constant(np.array([1, -1, 1], np.int64)))
        size = graph.add("Slice", graph.add("Shape", flat), self._whole(1), self._whole(2))
        count = graph.add("Min", size, self._whole(most))
        best, _ = graph.add_several("TopK", flat, count, count=2, axis=1)
        least = graph.add("ReduceMin", best, keepdims=1)
        return self._from_up(scores, least)

    def _from_up(self, scores: str, least: str) -> str:
        graph = self._graph
        is_among = graph.add("GreaterOrEqual", scores, least)
        return graph.add("Where", is_among, scores, graph.constant(np.float32(0)))

    def _last(self, values: str, count: int) -> str:
        return self._graph.add("Slice", values, *(self._whole(at) for at in (count - 1, count, 1)))

    def _classes_first(self, scores: str) -> str:
        """Of the data's classes alone, (1, classes, A)."""
        graph, offset = self._graph, self._frame.offset
        transposed = graph.add("Transpose", scores, perm=[0, 2, 1])
        if not offset:
            return transposed
        bounds = [self._whole(at) for at in (offset, np.iinfo(np.int64).max, 1)]
        return graph.add("Slice", transposed, *bounds)

    def _boxes(self, encoded: str) -> str:
        """Corners (1, A, 4) in pixels, inside of the image."""
        graph, frame = self._graph, self._frame
        anchors = frame.anchors.cpu().float().numpy()[None]
        sizes = anchors[..., 2:] - anchors[..., :2]
        centres = anchors[..., :2] + sizes / 2
        first, second = graph.add_several("Split", encoded, count=2, axis=2, num_outputs=2)
        coder = frame.detector.box_coder
        if isinstance(coder, BoxLinearCoder):
            # Distances to the sides.
            scale = sizes if coder.normalize_by_size else np.ones_like(sizes)
            near, far = (graph.add("Mul", part, graph.constant(scale)) for part in (first, second))
            middle = graph.constant(centres)
        else:
            # Offsets of the centre, and logarithms of the size.
            weights = np.array(coder.weights, np.float32)
            shift = graph.add("Mul", first, graph.constant(sizes / weights[:2]))
            middle = graph.add("Add", shift, graph.constant(centres))
            logs = graph.add("Mul", second, graph.constant(1 / weights[2:]))
            logs = graph.add("Min", logs, self._float(coder.bbox_xform_clip))
            near = far = graph.add("Mul", graph.add("Exp", logs), graph.constant(sizes / 2))
        low, high = graph.add("Sub", middle, near), graph.add("Add", middle, far)
        height, width = frame.size
        ends = graph.constant(np.array([width, height] * 2, np.float32))
        inside = graph.add("Max", graph.add("Concat", low, high, axis=2), self._float(0))
        return graph.add("Min", inside, ends)

    def _column(self, rows: str, column: int) -> str:
        place = self._graph.constant(np.array(column, np.int64))
        return self._graph.add("Gather", rows, place, axis=1)

    def _whole(self, number: int) -> str:
        return self._graph.constant(np.array([number], np.int64))

    def _float(self, number: float) -> str:
        return self._graph.constant(np.array([number], np.float32))
