import pytest
import torch

from edgespiral.tasks.detection.frames import FcosFrame, SsdFrame, empty_frame
from edgespiral.tasks.detection.outputs import BOXES, CENTRENESS, LOGITS

# Four squares of 8 pixels and one of 16, in an image of 16.
ANCHORS = torch.tensor(
    [[0, 0, 8, 8], [8, 0, 16, 8], [0, 8, 8, 16], [8, 8, 16, 16], [0, 0, 16, 16]]
).float()
# The second anchor has an object of class 1, the last image none.
TARGETS = torch.tensor([[[1, 8.0, 0, 16, 8], [-1, 0, 0, 0, 0]], [[-1, 0, 0, 0, 0]] * 2])
KINDS = {
    "ssd": {"columns": 3, "coding": "offsets"},
    "retinanet": {"columns": 2, "coding": "offsets"},
    "fcos": {"columns": 2, "coding": "distances"},
    "fcos with a background": {"columns": 3, "coding": "distances"},
}


def frame_of(kind):
    return empty_frame(ANCHORS, (16, 16), classes=2, **KINDS[kind])


def outputs_of(kind, sure=6.0):
    """Outputs that name the object of `TARGETS`, each anchor's box itself."""
    columns, offset = KINDS[kind]["columns"], KINDS[kind]["columns"] - 2
    logits = torch.full((2, 5, columns), -sure)
    if kind == "ssd":
        logits[..., 0] = sure
        logits[0, 1, 0] = -sure
    logits[0, 1, 1 + offset] = sure
    # Half of the anchor's side from its centre to each side; an offset of nothing.
    boxes = torch.full((2, 5, 4), 0.5 if "fcos" in kind else 0.0)
    return {LOGITS: logits, BOXES: boxes}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_right_is_found_and_has_less_loss(kind):
    frame, right = frame_of(kind), outputs_of(kind)
    [found, nothing] = frame.detections(right)
    assert found["labels"][0] == 1
    assert torch.allclose(found["boxes"][0], torch.tensor([8.0, 0, 16, 8]), atol=1e-3)
    assert found["scores"][0] > 0.9
    assert not bool((nothing["scores"] > 0.2).any())
    scores = frame.scores(right)
    assert scores.shape == (2, 5, 2)
    assert scores[0].flatten().argmax() == 3
    wrong = {LOGITS: right[LOGITS].flip(1), BOXES: right[BOXES] + 0.4}
    assert 0 <= float(frame.loss(right, TARGETS)) < 0.3 * float(frame.loss(wrong, TARGETS))


@pytest.mark.parametrize("kind", KINDS)
def test_losses_have_gradients_and_a_batch_without_objects_a_finite_loss(kind):
    frame = frame_of(kind)
    outputs = {name: part.clone().requires_grad_() for name, part in outputs_of(kind, 1.0).items()}
    loss = frame.loss(outputs, TARGETS)
    loss.backward()
    assert bool(outputs[LOGITS].grad.any())
    empty = {name: part[1:].detach() for name, part in outputs.items()}
    assert bool(frame.loss(empty, TARGETS[1:]).isfinite())


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_equal_does_not_diverge_and_what_differs_does(kind):
    frame, outputs = frame_of(kind), outputs_of(kind, 2.0)
    assert frame.class_divergence(outputs, outputs, 3.0).abs().max() < 1e-5
    other = outputs | {LOGITS: outputs[LOGITS].flip(1)}
    apart = frame.class_divergence(other, outputs, 1.0)
    assert apart.shape == (2, 5)
    assert apart[0, 1] > 1
    assert bool((apart > -1e-5).all())


def test_the_kind_follows_from_columns_and_coding():
    assert isinstance(frame_of("ssd"), SsdFrame)
    assert isinstance(frame_of("fcos"), FcosFrame)
    assert frame_of("fcos").levels == (4, 1)
    assert frame_of("retinanet").levels == (5,)


def test_centreness_counts_where_there_is_one():
    frame, outputs = frame_of("fcos"), outputs_of("fcos")
    off = outputs | {CENTRENESS: torch.full((2, 5, 1), -4.0)}
    assert frame.scores(off)[0, 1, 1] < 0.2 < 0.9 < frame.scores(outputs)[0, 1, 1]
    assert len(frame.detections(off)[0]["scores"]) <= len(frame.detections(outputs)[0]["scores"])
    assert float(frame.loss(off, TARGETS)) > float(frame.loss(outputs, TARGETS))
