import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import tv_tensors
from torchvision.transforms import v2

from edgespiral.core.batches import AugmentedSource, Normalisation, StoredSource
from edgespiral.data.boxes.annotated import Boxed
from edgespiral.data.boxes.options import BoxOptions
from edgespiral.data.boxes.pictures import (
    BoxedPictures,
    BoxSource,
    OverlappingCrop,
    normalised,
    packed,
)

PLAIN = Normalisation(mean=(0.0,) * 3, std=(1.0,) * 3)


@pytest.fixture
def source(tmp_path):
    """Six black pictures with a white object in each, and one without."""
    pictures = []
    for at in range(7):
        pixels = np.zeros((40, 60, 3), np.uint8)
        if at:
            pixels[10:25, 5 * at : 5 * at + 20] = 255
        Image.fromarray(pixels).save(tmp_path / f"{at}.png")
        box = np.array([[5 * at / 60, 10 / 40, (5 * at + 20) / 60, 25 / 40]] if at else [])
        labels = np.full(1 if at else 0, at % 2, np.int64)
        pictures.append(Boxed(tmp_path / f"{at}.png", labels, box.reshape(-1, 4)))
    options = BoxOptions(tmp_path, (60, 40), PLAIN, drops_faulty=False, mirrors=True)
    return BoxSource(pictures, options, rows=3)


def test_rows_are_filled_up():
    targets = packed(torch.tensor([1, 0]), torch.tensor([[1, 2, 3, 4], [0, 0, 9, 9]]), rows=3)
    assert targets.tolist() == [[1, 1, 2, 3, 4], [0, 0, 0, 9, 9], [-1, 0, 0, 0, 0]]
    assert packed(torch.zeros(0), torch.zeros(0, 4), rows=1).tolist() == [[-1, 0, 0, 0, 0]]


def test_stored_pictures_are_the_same_each_time(source):
    assert isinstance(source, AugmentedSource)
    plain = source.unaugmented()
    assert isinstance(plain, StoredSource)
    shown = next(iter(plain.epoch(batch_size=7, seed=3)))
    stored = next(iter(source.epoch(batch_size=7)))
    order = plain.order(3)
    assert all(torch.equal(a, b[order]) for a, b in zip(shown, stored, strict=True))
    images, targets = stored
    for image, row in zip(images[1:], targets[1:, 0].int().tolist(), strict=True):
        _, left, top, right, bottom = row
        assert image[:, top:bottom, left:right].min() == 1.0
        assert image.sum() == 3 * (right - left) * (bottom - top)


def test_in_random_views_boxes_go_with_their_object(source):
    seen = 0
    for images, targets in source.epoch(batch_size=7, seed=1):
        assert targets.shape == (7, 3, 5)
        assert images.shape == (7, 3, 40, 60)
        for image, rows in zip(images, targets, strict=True):
            for _, left, top, right, bottom in rows[rows[:, 0] >= 0].int().tolist():
                inside = image[:, top + 1 : bottom - 1, left + 1 : right - 1]
                assert inside.mean() > 0.4
                assert inside.mean() > 1.5 * image.mean()
                seen += 1
    assert seen >= 4


def test_a_pass_is_a_function_of_its_seed(source):
    first, again, other = (
        torch.cat([images for images, _ in source.epoch(batch_size=7, seed=seed)])
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.slow
@pytest.mark.parametrize("side", [4.0, 20.0, 36.0])
def test_crops_are_those_of_torchvision(side):
    """Overlaps that no crop can have are left out, and nothing else: shares agree by chance."""
    box = tv_tensors.BoundingBoxes(
        torch.tensor([[20.0, 20.0, 20 + side, 20 + side]]), format="XYXY", canvas_size=(60, 60)
    )
    image = tv_tensors.Image(torch.zeros(3, 60, 60, dtype=torch.uint8))
    shares = []
    for crop in (OverlappingCrop(), v2.RandomIoUCrop()):
        torch.manual_seed(0)
        drawn = [crop.make_params([image, box]) for _ in range(120)]
        whole = sum(not params for params in drawn)
        areas = [params["height"] * params["width"] / 3600 for params in drawn if params]
        shares.append((whole / len(drawn), sum(areas) / len(areas)))
    (ours_whole, ours_area), (theirs_whole, theirs_area) = shares
    # Three standard deviations of a share of 120, and of the mean of areas.
    assert abs(ours_whole - theirs_whole) < 3 * (2 * 0.25 / 120) ** 0.5
    assert abs(ours_area - theirs_area) < 0.12


def test_what_is_not_kept_is_read_anew(source, monkeypatch):
    kept = source._pictures_of
    monkeypatch.setattr("edgespiral.data.boxes.pictures.MOST_KEPT_BYTES", 1)
    read = BoxedPictures(kept._pictures, kept._options, 3)
    assert (kept.is_kept, read.is_kept) == (True, False)
    assert all(torch.equal(a[0], b[0]) for a, b in zip(kept, read, strict=False))


def test_pixels_are_normalised():
    pixels = torch.full((3, 1, 1), 255, dtype=torch.uint8)
    how = Normalisation(mean=(0.0, 0.5, 1.0), std=(1.0, 0.5, 2.0))
    assert normalised(pixels, how).flatten().tolist() == [1.0, 1.0, 0.0]
