import pytest
import torch

from edgespiral import data
from edgespiral.core.errors import DataError, UsageError
from edgespiral.tasks.detection import PLUGIN as DETECTION

SIZE = "<size><width>40</width><height>20</height><depth>3</depth></size>"
CAT = "<object><name>cat</name><bndbox>{}</bndbox></object>"
CORNERS = "<xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax>"


def annotation(*boxes, name="cat", size=SIZE):
    objects = [CAT.format(CORNERS.format(*box)).replace("cat", name) for box in boxes]
    return f"<annotation>{size}{''.join(objects)}</annotation>"


@pytest.fixture
def root(tmp_path, write_pictures):
    """Twenty pictures, of which every fifth has no object and the others a cat and a dog."""
    (tmp_path / "Annotations").mkdir()
    for at, file in enumerate(write_pictures(tmp_path / "JPEGImages", range(100, 120))):
        text = annotation((4, 5, 14, 15)).replace(
            "</annotation>",
            CAT.format(CORNERS.format(20, 0, 40, 20)).replace("cat", "dog") + "</annotation>",
        )
        text = annotation() if at % 5 == 0 else text
        (tmp_path / "Annotations" / f"{file.stem}.xml").write_text(text)
    return tmp_path


def lists(root, **names):
    folder = root / "ImageSets" / "Main"
    folder.mkdir(parents=True, exist_ok=True)
    for part, of_part in names.items():
        (folder / f"{part}.txt").write_text("\n".join(map(str, of_part)))


def first(source, count):
    return next(iter(source.epoch(batch_size=count)))


def test_boxes_are_scaled_with_their_picture(root):
    lists(root, train=range(100, 115), val=range(115, 117), test=range(117, 120))
    found = data.load(f"voc:{root}?size=80x60")
    assert [len(part) for part in (found.train, found.validation, found.test)] == [15, 2, 3]
    assert (found.class_names, found.input_shape) == (("cat", "dog"), (3, 60, 80))
    assert (found.target_shape, found.name) == (None, f"voc:{root}")
    images, targets = first(found.validation, 2)
    assert images.shape == (2, 3, 60, 80)
    assert targets.tolist() == [
        [[-1, 0, 0, 0, 0], [-1, 0, 0, 0, 0]],
        [[0, 8, 15, 28, 45], [1, 40, 0, 80, 60]],
    ]
    DETECTION.check_data(found)
    data.check(found, batch_size=2)
    assert "train: 15 pictures, 24 objects, 3 pictures without any" in found.notes


def test_without_lists_fixed_parts_are_drawn(root):
    found, again = (data.load(f"voc:{root}?size=16") for _ in range(2))
    assert [len(part) for part in (found.train, found.validation, found.test)] == [15, 2, 3]
    assert torch.equal(first(found.test, 3)[0], first(again.test, 3)[0])


def test_a_folder_a_part_with_both_kinds_of_files_is_read(tmp_path, write_pictures):
    for part, count in (("train", 4), ("valid", 2), ("test", 3)):
        for file in write_pictures(tmp_path / part, range(count)):
            file.with_suffix(".xml").write_text(annotation((1, 1, 9, 9)))
    found = data.load(f"voc:{tmp_path}")
    assert [len(part) for part in (found.train, found.validation, found.test)] == [4, 2, 3]
    assert found.input_shape == (3, 128, 128)


def test_classes_have_the_order_of_their_file(root):
    (root / "labels.txt").write_text("dog\ncat\nbird\n")
    found = data.load(f"voc:{root}")
    assert found.class_names == ("dog", "cat", "bird")
    assert "train: no object of bird, which does not count there" in found.notes
    (root / "labels.txt").write_text("cats\ndog\n")
    with pytest.raises(DataError, match=r"101\.xml: unknown class 'cat'; did you mean cats\?"):
        data.load(f"voc:{root}")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (annotation((5, 5, 5, 9)), r"box 1 \(cat: 5, 5, 5, 9\) has no area"),
        (annotation((9, 5, 3, 9)), "has no area"),
        (annotation((1, 1, 9, 9), (30, 5, 60, 9)), r"box 2 .* outside of its picture of 40 x 20"),
        (annotation((-9, 5, 6, 9)), "outside of its picture"),
        (annotation(("nan", 5, 6, 9)), "bndbox/xmin is 'nan', not a number"),
        (annotation(("x", 5, 6, 9)), "bndbox/xmin is 'x', not a number"),
        (annotation((1, 1, 9, 9), size=SIZE.replace("40", "80")), "80 x 20 pixels, and .*40 x 20"),
        (annotation((1, 1, 9, 9), name=""), "object 1 has no name"),
        ("<annotation><object>", "cannot be read"),
        ("<annotation><object><name>cat</name></object></annotation>", "has no bndbox/xmin"),
    ],
)
def test_what_is_wrong_is_told_with_its_file(root, text, told):
    (root / "Annotations" / "103.xml").write_text(text)
    with pytest.raises(DataError, match=rf"103\.xml: .*{told}") as caught:
        data.load(f"voc:{root}")
    assert caught.value.exit_code == 4


def test_a_box_may_reach_a_pixel_beyond_its_picture(root):
    lists(root, train=range(100, 118), test=[118])
    (root / "Annotations" / "118.xml").write_text(annotation((-1, 0, 41, 20), name="dog"))
    _, targets = first(data.load(f"voc:{root}?size=40x20").test, 1)
    assert targets[0, 0].tolist() == [1, 0, 0, 40, 20]


def test_faulty_boxes_are_left_out_if_that_is_asked_for(root):
    (root / "Annotations" / "103.xml").write_text(annotation((5, 5, 5, 9), (1, 1, 9, 9)))
    (root / "Annotations" / "104.xml").write_text(annotation((5, 5, 50, 9)))
    with pytest.raises(DataError, match=r"and 1 more faulty boxes.*\?faulty=drop"):
        data.load(f"voc:{root}")
    notes = " ".join(data.load(f"voc:{root}?faulty=drop").notes)
    assert notes.count("faulty boxes left out") in (1, 2)


def test_what_is_missing_is_told(root):
    (root / "JPEGImages" / "107.png").unlink()
    with pytest.raises(DataError, match=r"107\.xml: its picture .*107\.jpg is missing"):
        data.load(f"voc:{root}")
    (root / "Annotations" / "107.xml").unlink()
    (root / "Annotations" / "108.xml").unlink()
    with pytest.raises(DataError, match="no annotations of 108"):
        data.load(f"voc:{root}")
    lists(root, train=[101, 102], test=[])
    with pytest.raises(DataError, match="test: no pictures"):
        data.load(f"voc:{root}")
    lists(root, train=[101, 102, 103], val=[100], test=[104])
    with pytest.raises(DataError, match="validation: no picture has an object"):
        data.load(f"voc:{root}")
    lists(root, train=[101, 102, 103], val=[103], test=[104])
    with pytest.raises(DataError, match=r"103\.png: is in train and in validation"):
        data.load(f"voc:{root}")
    with pytest.raises(DataError, match="no such folder"):
        data.load(f"voc:{root / 'nowhere'}")


def test_a_damaged_picture_is_named(root):
    (root / "JPEGImages" / "107.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"107\.png: is not an image"):
        data.load(f"voc:{root}")


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("size=4", "from 8 to 4096"),
        ("size=80x", "as 160 or 160x120"),
        ("size=8x8x8", "as 160 or 160x120"),
        ("mean=1,2", "one number or three"),
        ("std=0", "one number or three"),
        ("std=nan", "one number or three"),
    ],
)
def test_a_wrong_option_is_refused(root, query, told):
    with pytest.raises(DataError, match=told):
        data.load(f"voc:{root}?{query}")
    with pytest.raises(UsageError, match="unknown faulty 'maybe'"):
        data.load(f"voc:{root}?faulty=maybe")
    with pytest.raises(UsageError, match="unknown voc option 'sizes'; did you mean size"):
        data.load(f"voc:{root}?sizes=4")


def test_pixels_are_normalised_as_is_said(root):
    usual, plain = (data.load(f"voc:{root}{query}") for query in ("", "?mean=0&std=1"))
    images, _ = first(plain.test, 3)
    assert 0 <= float(images.min()) < 0.2 < 0.8 < float(images.max()) <= 1
    mean = torch.tensor(usual.normalisation.mean).reshape(3, 1, 1)
    std = torch.tensor(usual.normalisation.std).reshape(3, 1, 1)
    assert torch.allclose(first(usual.test, 3)[0], (images - mean) / std, atol=1e-5)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (annotation(size=SIZE.replace("40", "1e400")), "size/width is '1e400', not a number"),
        (annotation((0, "nan", 3, 4)), "bndbox/ymin is 'nan', not a number"),
        ("<html><body/></html>", "is no annotation, but <html>"),
    ],
)
def test_what_no_picture_is_annotated_with_is_told(root, text, told):
    (root / "Annotations" / "103.xml").write_text(text)
    with pytest.raises(DataError, match=rf"103\.xml: {told}"):
        data.load(f"voc:{root}")
