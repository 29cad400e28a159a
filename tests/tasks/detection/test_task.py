from dataclasses import replace

import pytest
import torch
from torch.utils.data import TensorDataset

from edgespiral import data, tasks
from edgespiral.core.batches import DataSplits
from edgespiral.core.errors import DataError, ModelError, UsageError
from edgespiral.data.dataset import DatasetSource
from edgespiral.data.guard import watched
from edgespiral.data.user import splits_of
from edgespiral.tasks.detection import PLUGIN, Detection
from edgespiral.tasks.detection.frames import empty_frame
from edgespiral.tasks.detection.outputs import BOXES, LOGITS

ANCHORS = torch.tensor([[0.0, 0, 8, 8], [8, 0, 16, 8], [0, 8, 8, 16], [8, 8, 16, 16]])
# An object of class 1 in the second anchor and one of class 0 in the last; then no object.
TARGETS = torch.tensor([[[1.0, 8, 0, 16, 8], [0, 8, 8, 16, 16]], [[-1, 0, 0, 0, 0]] * 2])


@pytest.fixture
def task():
    bound = Detection(ANCHORS)
    return bound._with(empty_frame(ANCHORS, (16, 16), classes=2, columns=3, coding="offsets"))


def outputs(sure=8.0):
    """Outputs that name the objects of `TARGETS` and their very boxes."""
    logits = torch.tensor([1.0, 0, 0]).repeat(2, 4, 1)
    logits[0, 1] = torch.tensor([0.0, 0, 1])
    logits[0, 3] = torch.tensor([0.0, 1, 0])
    return {LOGITS: sure * logits, BOXES: torch.zeros(2, 4, 4)}


def splits(targets=TARGETS, classes=("a", "b")) -> DataSplits:
    source = DatasetSource(TensorDataset(torch.zeros(len(targets), 3, 16, 16), targets), fixed=True)
    return DataSplits(
        name="made up",
        train=source,
        validation=source,
        test=source,
        class_names=classes,
        input_shape=(3, 16, 16),
        target_shape=None,
    )


def test_all_found_is_all_right(task):
    right = outputs()
    assert task.score_of([(right, TARGETS)]) == pytest.approx(100.0)
    pairs = [({k: v[at : at + 1] for k, v in right.items()}, TARGETS[at : at + 1]) for at in (0, 1)]
    assert task.score_of(pairs) == pytest.approx(100.0)
    assert task.rightness(right, TARGETS).tolist() == pytest.approx([1.0, 1.0], abs=1e-2)
    assert (task.chance(TARGETS), task.decisions(TARGETS)) == (0.5, 2)
    assert task.scores_beside([(right, TARGETS)]) == pytest.approx((100.0,))
    in_order = right[LOGITS], right[BOXES]
    assert task.score_of([(in_order, TARGETS)]) == pytest.approx(100.0)


def test_a_class_missed_is_half_of_the_objects(task):
    half = outputs()
    half[LOGITS][0, 3] = torch.tensor([8.0, 0, 0])
    assert task.score_of([(half, TARGETS)]) == pytest.approx(50.0)
    assert task.rightness(half, TARGETS).tolist() == pytest.approx([0.5, 1.0], abs=1e-2)


def test_a_false_alarm_makes_an_image_without_objects_wrong(task):
    alarm = outputs()
    alarm[LOGITS][1, 0] = torch.tensor([0.0, 8, 0])
    assert float(task.rightness(alarm, TARGETS)[1]) < 0.01


def test_losses_are_least_where_all_is_right(task):
    right, wrong = outputs(), outputs()
    wrong[LOGITS] = wrong[LOGITS].flip(1)
    for one in (right, wrong):
        assert task.sample_losses(one, TARGETS).shape == (2,)
    assert float(task.loss(right, TARGETS)) < 0.01 < 1 < float(task.loss(wrong, TARGETS))
    assert float(task.sample_losses(wrong, TARGETS)[0]) == pytest.approx(
        float(task.loss({k: v[:1] for k, v in wrong.items()}, TARGETS[:1]))
    )


def test_how_far_outputs_are_is_weighed_by_how_sure_the_reference_is(task):
    reference = outputs()
    assert task.divergence(reference, reference).tolist() == pytest.approx([0.0, 0.0], abs=1e-6)
    on_object, on_nothing = outputs(), outputs()
    on_object[BOXES][0, 1] += 1.0
    on_nothing[BOXES][0, 0] += 1.0
    near, far = task.divergence(on_nothing, reference), task.divergence(on_object, reference)
    assert 0 < 100 * float(near[0]) < float(far[0])
    teachers = {name: torch.stack([part, part]) for name, part in reference.items()}
    assert float(task.distance(on_object, teachers, 1.0)) == pytest.approx(float(far.mean()))
    assert float(task.distance(reference, teachers, 4.0)) == pytest.approx(0.0, abs=1e-5)
    student = {name: part.clone().requires_grad_() for name, part in on_object.items()}
    task.distance(student, teachers, 4.0).backward()
    assert bool(student[BOXES].grad[0, 1].all())
    assert not bool(student[BOXES].grad[0, 0].abs().max() > 1e-3)


def test_decisions_are_those_of_anchors_that_either_is_sure_of(task):
    reference, other = outputs(), outputs()
    assert task.agreement(reference, reference).tolist() == [1.0, 1.0]
    other[LOGITS][0, 3] = torch.tensor([0.0, 0, 8])
    assert task.agreement(other, reference).tolist() == [0.5, 1.0]
    other[LOGITS][1, 2] = torch.tensor([0.0, 8, 0])
    assert task.agreement(other, reference).tolist() == [0.5, 0.0]
    assert task.agreement(reference, other).tolist() == [0.5, 0.0]


def test_boxes_are_drawn_around_what_is_found(task):
    images = torch.zeros(2, 3, 16, 16)
    drawn = task.pictures(images, outputs(), TARGETS, splits())
    side = drawn.shape[-1]
    assert (tuple(drawn.shape), drawn.dtype) == ((2, 3, side, side), torch.uint8)
    # The right upper quarter has the edges of an object, the left upper one nothing.
    quarter = drawn[0, :, : side // 2]
    assert bool(quarter[..., side // 2 + 2 :].any())
    assert not bool(quarter[..., : side // 2 - 4].any())
    assert not bool(drawn[1].any())
    assert task.pictures(torch.zeros(2, 2, 16, 16), outputs(), TARGETS, splits()) is None


def test_the_metric_is_chosen_by_name():
    assert tasks.load("detection").metric.name == "AP50"
    chosen = tasks.load("detection?metric=AP")
    assert (chosen.metric.name, chosen.beside[0].name) == ("AP", "AP50")
    with pytest.raises(UsageError, match="unknown metric 'AP75'; known: AP, AP50"):
        tasks.load("detection?metric=AP75")
    with pytest.raises(UsageError, match="not 'mAP'"):
        Detection(metric="mAP")


def test_without_a_model_nothing_is_scored():
    with pytest.raises(UsageError, match=r"needs the anchors of a model; give Detection\(anchors"):
        PLUGIN.score_of([(outputs(), TARGETS)])


def test_other_outputs_are_refused(task):
    parts = splits()
    task.check_outputs(outputs(), 2, parts)
    for wrong, told in (
        (torch.zeros(2, 4, 3), "a Tensor, not cls_logits"),
        (
            (torch.zeros(2, 4, 2), torch.zeros(2, 4, 4)),
            r"\(2, 4, 2\) and .* not cls_logits \(2, 4, 3",
        ),
        ((torch.zeros(2, 9, 3), torch.zeros(2, 9, 4)), r"\(2, 9, 3\)"),
        ((torch.full((2, 4, 3), torch.nan), torch.zeros(2, 4, 4)), "NaN"),
        (
            {"scores": torch.zeros(2, 4, 3), "boxes": torch.zeros(2, 4, 4)},
            "a dict of scores, boxes",
        ),
    ):
        with pytest.raises(ModelError, match=told):
            task.check_outputs(wrong, 2, parts)


def row(*values):
    changed = TARGETS.clone()
    changed[0, 1] = torch.tensor([float(value) for value in values])
    return changed


@pytest.mark.parametrize(
    ("targets", "told"),
    [
        (
            row(2, 1, 1, 5, 5),
            r"sample 0: the object \(2, 1, 1, 5, 5\) has no such class; there are 2",
        ),
        (row(0.5, 1, 1, 5, 5), "has no such class"),
        (row(-2, 1, 1, 5, 5), "has no such class"),
        (row(1, 5, 1, 5, 5), "has no area"),
        (row(1, 5, 1, 3, 5), "has no area"),
        (row(1, 5, 1, 18, 5), "outside of the image of 16 x 16"),
        (row(1, -2, 1, 8, 5), "outside of the image of 16 x 16"),
        (row(1, float("nan"), 1, 8, 5), "is not finite"),
        (TARGETS[1:], "no object in 1 samples"),
        (TARGETS[..., :4], r"targets are \(2, 2, 4\), not rows of objects; each sample is"),
    ],
)
def test_faulty_objects_are_told_with_their_sample(targets, told):
    with pytest.raises(DataError, match=told) as caught:
        PLUGIN.check_data(splits(targets))
    assert "made up: train" in str(caught.value)
    PLUGIN.check_data(splits())


def test_data_of_other_tasks_is_refused():
    with pytest.raises(DataError, match="targets are classes, one a sample, not rows of objects"):
        PLUGIN.check_data(data.load("digits"))
    with pytest.raises(DataError, match="names of the classes"):
        PLUGIN.check_data(splits(classes=()))
    with pytest.raises(DataError, match="not images"):
        PLUGIN.check_data(replace(splits(), input_shape=(8,)))


def test_a_mapping_with_rows_of_objects_is_taken_as_such():
    part = TensorDataset(torch.zeros(2, 3, 16, 16), TARGETS)
    mapping = {"train": part, "validation": part, "test": part, "classes": ["a", "b"]}
    found = splits_of(mapping, "mine")
    assert found.target_shape is None
    PLUGIN.check_data(found)
    data.check(found, batch_size=2)
    whole = TensorDataset(torch.zeros(2, 3, 16, 16), TARGETS.long())
    with pytest.raises(DataError, match="targets are classes or masks"):
        PLUGIN.check_data(splits_of(mapping | {"train": whole}, "mine"))


def test_a_faulty_object_beyond_the_first_thousand_samples_is_told_when_it_is_met():
    targets = TARGETS[:1].repeat(2001, 1, 1)
    targets[2000] = row(1, 5, 1, 3, 5)[0]
    whole = watched(splits(targets), PLUGIN.target_problem)
    PLUGIN.check_data(whole)
    told = r"made up: train: sample 2000: the object \(1, 5, 1, 3, 5\) has no area"
    for seed in (None, 1):
        with pytest.raises(DataError, match=told):
            list(whole.train.epoch(batch_size=3 if seed else 64, seed=seed))
