from dataclasses import replace

import pytest
import torch
from sklearn.metrics import jaccard_score
from torch import nn
from torch.nn import functional as F
from torch.utils.data import TensorDataset

from edgespiral import data
from edgespiral.core.batches import DataSplits
from edgespiral.core.errors import DataError, ModelError
from edgespiral.data.dataset import DatasetSource
from edgespiral.spiral.doubts import doubts_about
from edgespiral.tasks.classification import CLASSIFICATION
from edgespiral.tasks.segmentation import IGNORED, PLUGIN

MASKS = torch.tensor([[[0, 0], [1, 1]], [[2, 0], [IGNORED, 1]]])


def logits_of(classes):
    """Logits (N, 3, H, W) that name `classes` (N, H, W) with certainty."""
    return 20.0 * torch.nn.functional.one_hot(classes, 3).movedim(-1, 1).float()


TOLD = torch.tensor([[[0, 0], [1, 0]], [[2, 0], [2, 1]]])


def test_miou_is_over_all_pixels_that_count():
    # Class 0: 3 of 4, class 1: 2 of 3, class 2: 1 of 1; the ignored pixel counts for none.
    expected = 100 * (3 / 4 + 2 / 3 + 1) / 3
    pairs = list(zip(logits_of(TOLD).split(1), MASKS.split(1), strict=True))
    assert PLUGIN.score_of(pairs) == pytest.approx(expected)
    assert PLUGIN.score_of([(logits_of(TOLD), MASKS)]) == pytest.approx(expected)


@pytest.mark.parametrize("ignored", [0, 1, 2])
def test_a_class_that_counts_for_nothing_is_not_in_the_mean(ignored):
    draw = torch.Generator().manual_seed(0)
    masks, told = (torch.randint(3, (4, 8, 8), generator=draw) for _ in "ab")
    counting = masks != ignored
    # What is told to be of the ignored class is missed all the same.
    expected = jaccard_score(
        masks[counting].numpy(),
        told[counting].numpy(),
        labels=[number for number in range(3) if number != ignored],
        average="macro",
    )
    task, _ = PLUGIN.fitted(replace(splits(masks), ignored_class=ignored))
    assert task.score_of([(logits_of(told), masks)]) == pytest.approx(100 * expected)
    # All of the ignored class: wrong in every pixel that counts.
    assert task.score_of([(logits_of(torch.full_like(masks, ignored)), masks)]) == 0.0
    assert task.score_of([(logits_of(masks), masks)]) == 100.0


def test_a_class_that_is_nowhere_does_not_count():
    masks = torch.zeros(1, 2, 2, dtype=torch.int64)
    assert PLUGIN.score_of([(logits_of(masks), masks)]) == 100.0


def test_losses_are_means_over_pixels_that_count():
    logits = torch.randn(2, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    by_hand = -logits.log_softmax(1)[1, [2, 0, 1], [0, 0, 1], [0, 1, 1]].mean()
    assert float(PLUGIN.sample_losses(logits, MASKS)[1]) == pytest.approx(float(by_hand))
    weights = torch.tensor([4, 3]) / 7
    whole = (weights * PLUGIN.sample_losses(logits, MASKS)).sum()
    assert float(PLUGIN.loss(logits, MASKS)) == pytest.approx(float(whole))


def test_a_mask_without_a_pixel_that_counts_has_no_loss():
    masks = torch.full((1, 2, 2), IGNORED)
    assert float(PLUGIN.loss(torch.zeros(1, 3, 2, 2), masks)) == 0.0
    assert PLUGIN.chance(masks) is None


def test_what_is_equal_does_not_diverge():
    logits = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    assert PLUGIN.divergence(logits, logits).tolist() == [0.0, 0.0]
    assert float(PLUGIN.distance(logits, logits[None], 4.0)) == pytest.approx(0.0, abs=1e-6)
    other = logits.flip(1)
    by_hand = torch.stack(
        [
            (a.softmax(0) * (a.log_softmax(0) - b.log_softmax(0))).sum(0).mean()
            for a, b in zip(logits, other, strict=True)
        ]
    )
    assert PLUGIN.divergence(other, logits).tolist() == pytest.approx(by_hand.tolist(), rel=1e-5)


def test_agreement_rightness_and_chance_are_shares_of_pixels():
    assert PLUGIN.agreement(logits_of(TOLD), logits_of(TOLD.roll(0))).tolist() == [1.0, 1.0]
    assert PLUGIN.rightness(logits_of(TOLD), MASKS).tolist() == [0.75, 1.0]
    assert PLUGIN.chance(MASKS) == pytest.approx(3 / 7)


def test_pixels_have_the_colours_of_their_classes():
    grey = torch.zeros(1, 3, 4, 4)
    left, right = torch.zeros(1, 4, 4, dtype=torch.int64), torch.zeros(1, 4, 4, dtype=torch.int64)
    right[..., 2:] = 1
    parts = splits(left)
    same, other = (PLUGIN.pictures(grey, logits_of(one), one, parts) for one in (left, right))
    assert same.dtype == torch.uint8
    half = same.shape[-1] // 2
    assert torch.equal(same[..., :half], other[..., :half])
    assert bool((same[..., half:] != other[..., half:]).any(1).all())
    assert PLUGIN.pictures(torch.zeros(1, 2, 4, 4), logits_of(left), left, parts) is None


def test_a_few_samples_are_many_decisions():
    assert PLUGIN.decisions(MASKS) == 7
    assert CLASSIFICATION.decisions(torch.tensor([0, 1])) == 2


@pytest.mark.parametrize(("share_right", "doubted"), [(0.0, True), (0.5, False)])
def test_a_teacher_is_at_chance_where_it_knows_the_commonest_class_alone(share_right, doubted):
    """Of five samples, most pixels of one class: by samples, chance would allow for anything."""
    wanted = torch.zeros(5, 32, 32, dtype=torch.int64)
    wanted[:, :6] = 1
    told = torch.zeros_like(wanted)
    told[:, : round(12 * share_right)] = 1
    images = told[:, None].float().expand(-1, 3, -1, -1)
    source = DatasetSource(TensorDataset(images, wanted), fixed=True)
    parts = replace(splits(wanted, (32, 32)), train=source, validation=source)

    class Told(nn.Module):
        def forward(self, inputs):
            return 5.0 * F.one_hot(inputs[:, 0].long(), 3).movedim(-1, 1).float()

    found = doubts_about(Told(), replace(parts, test=source), PLUGIN, 0.0)
    assert any("of the pixels of 5 validation samples" in doubt for doubt in found) is doubted


def splits(masks, size=(4, 4), classes=3) -> DataSplits:
    images = torch.zeros(len(masks), 3, *size)
    source = DatasetSource(TensorDataset(images, masks), fixed=True)
    return DataSplits(
        name="made up",
        train=source,
        validation=source,
        test=source,
        class_names=tuple("abc"[:classes]),
        input_shape=(3, *size),
        target_shape=tuple(masks.shape[1:]),
        ignored_class=IGNORED,
    )


def masks(size=(4, 4)):
    return torch.arange(6 * size[0] * size[1]).reshape(6, *size) % 3


def test_sound_masks_pass():
    sound = masks()
    sound[:, 0] = IGNORED
    PLUGIN.check_data(splits(sound))
    data.check(splits(sound), batch_size=2)


def test_a_split_of_which_no_pixel_counts_is_refused():
    with pytest.raises(DataError, match=r"validation: every pixel is of class 255.*undefined"):
        PLUGIN.check_data(
            replace(splits(masks()), validation=splits(torch.full_like(masks(), IGNORED)).train)
        )
    nothing = torch.full((1, 2, 2), IGNORED)
    with pytest.raises(DataError, match="mIoU is undefined"):
        PLUGIN.score_of([(torch.zeros(1, 3, 2, 2), nothing)])


@pytest.mark.parametrize("ignored", [2, 3, 11, None])
def test_the_class_that_counts_for_nothing_is_the_datas(ignored):
    told = torch.where(MASKS == IGNORED, 0 if ignored is None else ignored, MASKS)
    task, _ = PLUGIN.fitted(replace(splits(masks()), ignored_class=ignored))
    logits = torch.randn(2, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    same = torch.where(told == ignored, IGNORED, told) if ignored is not None else told
    for method in ("sample_losses", "rightness", "loss"):
        ours, theirs = (getattr(t, method)(logits, m) for t, m in ((task, told), (PLUGIN, same)))
        assert torch.equal(ours, theirs)
    # One that is among the classes leaves the mean, too.
    if ignored != 2:
        assert task.score_of([(logits, told)]) == PLUGIN.score_of([(logits, same)])
    assert (task.chance(told), task.decisions(told)) == (
        PLUGIN.chance(same),
        PLUGIN.decisions(same),
    )


def test_masks_of_another_size_are_refused():
    with pytest.raises(DataError, match=r"masks are \(2, 2\), not masks of \(4, 4\)"):
        PLUGIN.check_data(splits(masks((2, 2))))


def test_labels_are_no_masks_and_masks_no_labels():
    with pytest.raises(DataError, match="targets are one class a sample, not masks"):
        PLUGIN.check_data(data.load("digits"))
    with pytest.raises(DataError, match=r"targets are \(4, 4\), not one class a sample"):
        CLASSIFICATION.check_data(splits(masks()))


def test_a_class_that_there_is_not_is_refused_with_its_sample():
    wrong = masks()
    wrong[3, 2, 1] = 7
    with pytest.raises(DataError, match=r"classes from 0 to 7, but 3 classes .*sample") as caught:
        data.check(splits(wrong), batch_size=2)
    assert caught.value.exit_code == 4


def test_a_mask_of_another_type_is_refused():
    with pytest.raises(DataError, match=r"masks are torch.int32 \(2, 4, 4\), not torch.int64"):
        data.check(splits(masks().int()), batch_size=2)


@pytest.mark.parametrize(
    ("outputs", "told"),
    [
        ({"out": torch.zeros(2, 3, 4, 4)}, 'a dict of out, not logits.*outputs\\["out"\\]'),
        (torch.zeros(2, 3, 2, 2), r"a float32 tensor \(2, 3, 2, 2\), not .* \(2, 3, 4, 4\)"),
        (torch.full((2, 3, 4, 4), float("nan")), "NaN"),
    ],
)
def test_other_outputs_are_refused(outputs, told):
    with pytest.raises(ModelError, match=told):
        PLUGIN.check_outputs(outputs, 2, splits(masks()))
    assert PLUGIN.check_outputs(torch.zeros(2, 3, 4, 4), 2, splits(masks())) is None


def test_a_mapping_with_masks_is_taken_as_such():
    from edgespiral.data.user import splits_of

    part = TensorDataset(torch.zeros(6, 3, 4, 4), masks())
    found = splits_of(
        {"train": part, "validation": part, "test": part, "classes": ["a", "b", "c"]}, "mine"
    )
    assert (found.target_shape, found.ignored_class) == ((4, 4), IGNORED)
    PLUGIN.check_data(found)
    assert replace(found, target_shape=()).target_shape == ()
