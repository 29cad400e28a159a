import json

import numpy as np
import pytest
from boxes_on_red import assert_on_red
from PIL import Image

from edgespiral import data
from edgespiral.core.errors import DataError

CATEGORIES = [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat"}]


def document(names, *, boxes=((4, 5, 10, 10),), **changes):
    """A cat in each of the pictures, and a crowd of dogs that counts for nothing."""
    images = [
        {"id": at, "file_name": f"{name}.png", "width": 40, "height": 20}
        for at, name in enumerate(names)
    ]
    objects = [
        {"id": 10 * at + number, "image_id": at, "category_id": 3, "bbox": list(box), "iscrowd": 0}
        for at in range(len(images))
        for number, box in enumerate(boxes)
    ]
    crowd = {"id": 999, "image_id": 0, "category_id": 7, "bbox": [0, 0, 40, 20], "iscrowd": 1}
    found = {"images": images, "annotations": [*objects, crowd], "categories": CATEGORIES}
    return json.dumps(found | changes)


PARTS = {"train": "abcde", "val": "fg", "test": "hij"}


@pytest.fixture
def root(tmp_path, write_pictures):
    (tmp_path / "annotations").mkdir()
    for part, names in PARTS.items():
        write_pictures(tmp_path / f"{part}2017", names)
        file = tmp_path / "annotations" / f"instances_{part}2017.json"
        file.write_text(document(names))
    (tmp_path / "annotations" / "captions_train2017.json").write_text("{}")
    return tmp_path


def sizes(found):
    return [len(part) for part in (found.train, found.validation, found.test)]


def test_boxes_are_a_corner_and_two_sides(root):
    found = data.load(f"coco:{root}?size=80x60")
    assert (sizes(found), found.class_names) == ([5, 2, 3], ("cat", "dog"))
    _, targets = next(iter(found.test.epoch(batch_size=3)))
    assert targets.shape == (3, 1, 5)
    assert targets[0, 0].tolist() == [0, 8, 15, 28, 45]


@pytest.mark.parametrize("beside", ["train/_annotations.coco.json", "train.json", "labels.json"])
def test_other_layouts_are_read(tmp_path, write_pictures, beside):
    if beside == "labels.json":
        write_pictures(tmp_path / "images", range(20))
        (tmp_path / beside).write_text(document(range(20)))
        assert sizes(data.load(f"coco:{tmp_path}")) == [15, 2, 3]
        return
    for part, names in PARTS.items():
        write_pictures(tmp_path / part, names)
        (tmp_path / beside.replace("train", part)).write_text(document(names))
    assert sizes(data.load(f"coco:{tmp_path}")) == [5, 2, 3]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (document("fg", boxes=[(4, 5, 0, 10)]), "f.png: box 1 .* has no area"),
        (document("fg", boxes=[(4, 5, -3, 10)]), "has no area"),
        (document("fg", boxes=[(4, 5, 60, 10)]), "outside of its picture of 40 x 20"),
        (document("fg", boxes=[(4, 5, 60)]), "is not COCO's format: annotations.0.bbox"),
        (document("fg").replace('_id": 3', '_id": 9'), "annotations.0: unknown class: category 9"),
        (document("fg", images=[]), "annotations.0: is of picture 0, which is not in images"),
        (
            document("fg", images=[{"id": 0, "file_name": name} for name in ("f.png", "g.png")]),
            r"images\.1: has the id 0 twice",
        ),
        (document("fz"), r"z\.png: its picture .*z\.png is missing"),
        (
            document("fg", categories=[{"id": 3, "name": "cow"}, CATEGORIES[0]]),
            "category 3 is 'cow', and 'cat'",
        ),
        (document("af"), r"a\.png: its picture .* is missing"),
        ("[1", "cannot be read"),
        ("[]", "is not COCO's format"),
    ],
)
def test_what_is_wrong_is_told_with_its_file(root, text, told):
    (root / "annotations" / "instances_val2017.json").write_text(text)
    with pytest.raises(DataError, match=told) as caught:
        data.load(f"coco:{root}")
    assert "val2017" in str(caught.value)


def test_several_files_of_no_split_are_refused(tmp_path):
    (tmp_path / "a.json").write_text(document("a"))
    (tmp_path / "b.json").write_text(document("b"))
    with pytest.raises(DataError, match=r"several .*none of them of train"):
        data.load(f"coco:{tmp_path}")
    (tmp_path / "a.json").unlink()
    (tmp_path / "b.json").unlink()
    with pytest.raises(DataError, match="no annotations"):
        data.load(f"coco:{tmp_path}")


def test_several_files_of_a_part_are_refused_but_beside_those_of_instances(root):
    folder = root / "annotations"
    (folder / "panoptic_train2017.json").write_text("{}")
    assert sizes(data.load(f"coco:{root}")) == [5, 2, 3]
    (folder / "instances_train2017_old.json").write_text("{}")
    with pytest.raises(DataError, match=r"several files have annotations of train: instances_tra"):
        data.load(f"coco:{root}")


def test_several_files_in_the_folder_of_a_part_are_refused(root):
    (root / "train2017").rename(root / "train")
    for name in ("a.json", "b.json"):
        (root / "train" / name).write_text(document(PARTS["train"]))
    with pytest.raises(DataError, match=r"several files have annotations of train: a\.json, b"):
        data.load(f"coco:{root}")


@pytest.mark.parametrize("told", ["shown", "stored"])
def test_a_picture_is_turned_where_its_annotations_say_that_size(root, told):
    """Boxes that are told on one of the two: red is what is in them."""
    for part, names in PARTS.items():
        boxes = ((4, 5, 10, 10),)
        whole = json.loads(document(names, boxes=boxes))
        for at, name in enumerate(names):
            pixels = np.zeros((20, 40, 3), np.uint8)
            pixels[5:15, 4:14, 0] = 255
            pixels[0, 0] = [ord(name), at, 9]
            picture, exif = Image.fromarray(pixels), Image.Exif()
            exif[0x0112] = 6
            if told == "shown":
                picture = picture.transpose(Image.Transpose.ROTATE_90)
            picture.save(root / f"{part}2017" / f"{name}.png", exif=exif)
        (root / "annotations" / f"instances_{part}2017.json").write_text(json.dumps(whole))
    found = data.load(f"coco:{root}?size=80x40")
    assert_on_red(found, 0)
