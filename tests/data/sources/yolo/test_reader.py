import numpy as np
import pytest
from boxes_on_red import assert_on_red
from PIL import Image

from edgespiral import data
from edgespiral.core.errors import DataError

YAML = "path: .\ntrain: images/train\nval: images/val\ntest: images/test\nnames: [cat, dog]\n"


def write(root, write_pictures, counts=(5, 2, 3), images="images/{}", labels="labels/{}"):
    """Each picture has a dog; the first of each part has no file of labels."""
    for part, count in zip(("train", "val", "test"), counts, strict=True):
        (root / labels.format(part)).mkdir(parents=True, exist_ok=True)
        for file in write_pictures(
            root / images.format(part), [f"{part}{at}" for at in range(count)]
        )[1:]:
            text = "1 0.225 0.5 0.25 0.5\n"
            (root / labels.format(part) / f"{file.stem}.txt").write_text(text)


@pytest.fixture
def root(tmp_path, write_pictures):
    write(tmp_path, write_pictures)
    (tmp_path / "data.yaml").write_text(YAML)
    return tmp_path


def sizes(found):
    return [len(part) for part in (found.train, found.validation, found.test)]


def test_boxes_are_shares_of_the_picture(root):
    found = data.load(f"yolo:{root}?size=80x60")
    assert (sizes(found), found.class_names) == ([5, 2, 3], ("cat", "dog"))
    _, targets = next(iter(found.test.epoch(batch_size=3)))
    assert targets[0, 0, 0] == -1
    assert targets[1, 0].tolist() == [1, 8, 15, 28, 45]
    assert any("1 pictures without any" in note for note in found.notes)


def test_classes_and_usual_folders_do_without_a_yaml(tmp_path, write_pictures):
    write(tmp_path, write_pictures, images="{}/images", labels="{}/labels")
    with pytest.raises(DataError, match=r"neither data.yaml nor classes.txt"):
        data.load(f"yolo:{tmp_path}")
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    assert sizes(data.load(f"yolo:{tmp_path}")) == [5, 2, 3]


def test_one_folder_of_all_pictures_is_divided(tmp_path, write_pictures):
    write(tmp_path, write_pictures, counts=(20, 0, 0), images="images", labels="labels")
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    assert sizes(data.load(f"yolo:{tmp_path}")) == [15, 2, 3]


def test_folders_above_and_names_by_number_are_understood(root):
    text = "train: ../images/train\nval: ../images/val\nnames: {0: cat, 1: dog}\n"
    (root / "data.yaml").write_text(text)
    found = data.load(f"yolo:{root}")
    # Without a test the validation is the test, and a tenth of the rest is that.
    assert (sizes(found), found.class_names) == ([4, 1, 2], ("cat", "dog"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("1 0.5 0.5 0 0.5", r"box 1 \(dog: .*has no area"),
        ("1 0.5 0.5 0.2 0.2\n0 0.9 0.5 0.6 0.5", r"box 2 \(cat.* outside of its picture"),
        ("2 0.5 0.5 0.2 0.2", ":1: unknown class 2: there are 2"),
        ("1 0.5 0.5 0.2 0.2\n\n1 200 100 50 50", ":3: .*is in pixels, not in shares"),
        ("1 0.1 0.1 0.2 0.1 0.2 0.2", ":1: is an outline, not a box"),
        ("1 0.1 0.1", ":1: is not a box"),
        ("-1 0.1 0.1 0.1 0.1", ":1: is not a box"),
        ("1 nan 0.1 0.1 0.1", ":1: is not a box"),
        ("cat 0.1 0.1 0.1 0.1", ":1: is not a box"),
    ],
)
def test_what_is_wrong_is_told_with_its_file_and_line(root, text, told):
    (root / "labels" / "val" / "val1.txt").write_text(text)
    with pytest.raises(DataError, match=rf"val1\.txt{told if told[0] == ':' else '.*' + told}"):
        data.load(f"yolo:{root}")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("- a", "is not a mapping"),
        ("names: [a", "cannot be read"),
        (YAML.replace("[cat, dog]", "3"), "names is not a list"),
        (YAML.replace("[cat, dog]", "{1: cat}"), "names is not a list"),
        (YAML.replace("images/val", "nowhere"), "validation: no such folder: nowhere"),
        (YAML.replace("train:", "training:"), "no folder of training pictures"),
    ],
)
def test_a_wrong_yaml_is_told(root, text, told):
    (root / "data.yaml").write_text(text)
    with pytest.raises(DataError, match=told):
        data.load(f"yolo:{root}")


def test_labels_without_their_picture_are_told(root):
    (root / "images" / "val" / "val1.png").unlink()
    with pytest.raises(DataError, match=r"val1\.txt: its picture is missing"):
        data.load(f"yolo:{root}")


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ("{0: cat, dog: 1}", "names is not a list of classes"),
        ("[no, yes]", "the name of class 0 is a bool; quote it"),
        ("[&a [x, x], *a]", "the name of class 0 is a list"),
    ],
)
def test_names_that_are_none_are_told(root, names, told):
    (root / "data.yaml").write_text(YAML.replace("[cat, dog]", names))
    with pytest.raises(DataError, match=rf"data\.yaml: {told}"):
        data.load(f"yolo:{root}")


def test_a_list_in_the_place_of_a_folder_is_told(root):
    (root / "data.yaml").write_text(YAML.replace("images/train", "[images/train]"))
    with pytest.raises(DataError, match=r"data\.yaml: train: is a list, not the name of a folder"):
        data.load(f"yolo:{root}")


def test_boxes_lie_on_the_picture_as_viewers_show_it(root):
    """Pictures of 40 x 20 stored on their side, with the dog red."""
    for file in root.glob("images/*/*.png"):
        pixels = np.zeros((20, 40, 3), np.uint8)
        pixels[5:15, 4:14, 0] = 255
        exif = Image.Exif()
        exif[0x0112] = 8
        pixels[0, 0] = [sum(file.name.encode()) % 256, len(file.name), 9]
        stored = Image.fromarray(pixels).transpose(Image.Transpose.ROTATE_270)
        stored.save(file, exif=exif)
    found = data.load(f"yolo:{root}?size=80x40")
    assert_on_red(found, 1)


def test_an_object_that_is_there_twice_counts_once(root):
    file = root / "labels" / "test" / "test1.txt"
    file.write_text("1 0.225 0.5 0.25 0.5\n0 0.225 0.5 0.25 0.5\n" + file.read_text())
    found = data.load(f"yolo:{root}?size=80x60")
    _, targets = next(iter(found.test.epoch(batch_size=3)))
    assert targets[1, :, 0].tolist() == [1, 0]
    assert any(note.endswith(", 1 repeated boxes left out") for note in found.notes)
