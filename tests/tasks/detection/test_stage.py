"""The graph of detections, against torchvision's on the same outputs."""

import numpy as np
import onnxruntime
import pytest
import torch

from edgespiral.core.stages.graph import ANY, StageGraph
from edgespiral.tasks.detection.frames import empty_frame
from edgespiral.tasks.detection.outputs import BOXES, CENTRENESS, LOGITS
from edgespiral.tasks.detection.stage import detections

SIDE, CLASSES = 64, 3


def anchors():
    """Two feature maps: squares of 8 pixels, and of 24."""
    squares = []
    for step, side in ((4, 8), (16, 24)):
        middles = torch.arange(step / 2, SIDE, step)
        down, across = torch.meshgrid(middles, middles, indexing="ij")
        centres = torch.stack([across, down], -1).reshape(-1, 2)
        squares.append(torch.cat([centres - side / 2, centres + side / 2], 1))
    return torch.cat(squares)


KINDS = {
    "ssd": (CLASSES + 1, "offsets", False),
    "retinanet": (CLASSES, "offsets", False),
    "fcos": (CLASSES, "distances", True),
    "fcos without its centre": (CLASSES, "distances", False),
}


def outputs_of(kind, frame, spread):
    columns, coding, has_centre = KINDS[kind]
    noise = torch.Generator().manual_seed(3)
    count = len(frame.anchors)
    logits = spread * torch.randn(1, count, columns, generator=noise)
    boxes = 0.5 * torch.randn(1, count, 4, generator=noise)
    outputs = {LOGITS: logits, BOXES: boxes.abs() if coding == "distances" else boxes}
    centre = {CENTRENESS: torch.randn(1, count, 1, generator=noise)} if has_centre else {}
    return outputs | centre


def in_graph(stage, outputs):
    graph = StageGraph()
    names = {name: graph.frame(value.numpy()) for name, value in outputs.items()}
    kinds = {"boxes": np.float32, "scores": np.float32, "labels": np.int64}
    for name, value in stage.add(graph, names).items():
        graph.output(name, value, kinds[name])
    session = onnxruntime.InferenceSession(graph.model().SerializeToString())
    values = session.run(list(kinds), {ANY: np.zeros(1, np.float32)})
    return dict(zip(kinds, values, strict=True))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("most", [1000, 20])
def test_a_graph_detects_what_torchvision_does(kind, most):
    columns, coding, _ = KINDS[kind]
    frame = empty_frame(anchors(), (SIDE, SIDE), classes=CLASSES, columns=columns, coding=coding)
    # So few that the best of each map or class alone are looked at.
    frame.detector.topk_candidates = most
    stage, outputs = detections(frame), outputs_of(kind, frame, 2.0)
    expected, answers = stage.apply(outputs), in_graph(stage, outputs)
    assert len(expected["labels"]) > 5
    assert answers["labels"].tolist() == expected["labels"].tolist()
    assert answers["scores"] == pytest.approx(expected["scores"].numpy(), abs=1e-5)
    assert answers["boxes"] == pytest.approx(expected["boxes"].numpy(), abs=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_detected_where_nothing_is_sure(kind):
    columns, coding, _ = KINDS[kind]
    frame = empty_frame(anchors(), (SIDE, SIDE), classes=CLASSES, columns=columns, coding=coding)
    frame.detector.score_thresh = 0.999999
    answers = in_graph(detections(frame), outputs_of(kind, frame, 0.1))
    assert answers["boxes"].shape == (0, 4)
    assert answers["labels"].tolist() == answers["scores"].tolist() == []
