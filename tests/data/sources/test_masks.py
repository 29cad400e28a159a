import numpy as np
import pytest
import torch
from PIL import Image

from edgespiral import data
from edgespiral.core.errors import DataError, UsageError
from edgespiral.data.sources.masks import IGNORED
from edgespiral.tasks.segmentation import PLUGIN as SEGMENTATION


def write(folder, count, size=16, mask_size=16):
    generator = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    for at in range(count):
        pixels = generator.integers(0, 255, (size, size, 3), np.uint8)
        mask = np.zeros((mask_size, mask_size), np.uint8)
        mask[: mask_size // 2] = 1
        mask[-1] = IGNORED
        Image.fromarray(pixels).save(folder / "images" / f"{at:02d}.jpg")
        Image.fromarray(mask).save(folder / "masks" / f"{at:02d}.png")


@pytest.fixture
def root(tmp_path):
    write(tmp_path, 20)
    (tmp_path / "classes.txt").write_text("ground\nsky\n")
    return tmp_path


@pytest.mark.slow
def test_folders_of_images_and_masks_make_three_fixed_parts(root):
    first, again = (data.load(f"masks:{root}?size=8") for _ in range(2))
    assert [len(part) for part in (first.train, first.validation, first.test)] == [15, 2, 3]
    assert (first.class_names, first.input_shape) == (("ground", "sky"), (3, 8, 8))
    inputs, masks = next(iter(first.test.epoch(batch_size=3)))
    assert (inputs.shape, masks.shape) == ((3, 3, 8, 8), (3, 8, 8))
    assert masks.dtype == torch.int64
    assert torch.equal(next(iter(again.test.epoch(batch_size=3)))[0], inputs)
    assert set(masks.unique().tolist()) <= {0, 1, IGNORED}
    SEGMENTATION.check_data(first)
    data.check(first, batch_size=2)


def test_ready_made_parts_are_taken(tmp_path):
    for name, count in (("train", 5), ("val", 2), ("test", 3)):
        write(tmp_path / name, count)
    (tmp_path / "classes.txt").write_text("a\nb\n")
    found = data.load(f"masks:{tmp_path}")
    assert [len(part) for part in (found.train, found.validation, found.test)] == [5, 2, 3]


def test_what_is_missing_is_told(root):
    copy = root / "images" / "03.png"
    copy.write_bytes((root / "masks" / "03.png").read_bytes())
    with pytest.raises(DataError, match=r"images/03\.png: is called as 03\.jpg is"):
        data.load(f"masks:{root}")
    copy.unlink()
    (root / "masks" / "07.png").unlink()
    with pytest.raises(DataError, match=r"no mask for 07\.jpg"):
        data.load(f"masks:{root}")
    (root / "classes.txt").unlink()
    with pytest.raises(DataError, match=r"classes\.txt"):
        data.load(f"masks:{root}")
    with pytest.raises(DataError, match="no such folder"):
        data.load(f"masks:{root / 'nowhere'}")


def test_missing_names_of_classes_are_told_in_the_systems_words(root):
    (root / "classes.txt").unlink()
    with pytest.raises(
        DataError, match=r"classes\.txt: cannot be read: no such file or directory;"
    ):
        data.load(f"masks:{root}")


def test_a_mask_of_another_size_than_its_image_is_told_by_its_file(root):
    Image.fromarray(np.zeros((12, 12), np.uint8)).save(root / "masks" / "07.png")
    with pytest.raises(DataError, match=r"masks/07\.png: is 12 x 12 pixels, its image 16 x 16"):
        data.load(f"masks:{root}?size=8")


def test_masks_of_training_are_read_once_and_the_others_each_time(root):
    (root / "classes.txt").write_text("\n".join(map(str, range(300))))
    # A class above 255 needs more than a byte.
    mask = np.full((16, 16), 290, np.uint16)
    mask[:2] = 3
    for file in (root / "masks").iterdir():
        Image.fromarray(mask).save(file)
    splits = data.load(f"masks:{root}?size=8")
    before = [masks for _, masks in splits.train.epoch(batch_size=15)]
    assert before[0].unique().tolist() == [3, 290]
    list(splits.test.epoch(batch_size=3))
    for file in (root / "masks").iterdir():
        Image.fromarray(np.full((16, 16), 7, np.uint8)).save(file)
    assert torch.equal(next(iter(splits.train.epoch(batch_size=15)))[1], before[0])
    with pytest.raises(DataError, match="not what they were when it was read before"):
        list(splits.test.epoch(batch_size=3))


def test_a_class_that_has_no_name_is_told_with_its_file(root):
    (root / "classes.txt").write_text("ground\n")
    with pytest.raises(DataError, match="one class only"):
        data.check(data.load(f"masks:{root}?size=8"), batch_size=2)
    mask = np.full((16, 16), 9, np.uint8)
    Image.fromarray(mask).save(root / "masks" / "03.png")
    (root / "classes.txt").write_text("ground\nsky\n")
    with pytest.raises(DataError, match=r"classes from 0 to 9.*03\.jpg"):
        data.check(data.load(f"masks:{root}?size=8"), batch_size=2)


@pytest.mark.parametrize(("query", "error"), [("size=4", DataError), ("sice=64", UsageError)])
def test_wrong_options_are_refused(root, query, error):
    with pytest.raises(error):
        data.load(f"masks:{root}?{query}")


def with_masks(root, *, mode="L", values=(0, 1)):
    """Every mask in a mode, the upper half of one value and the lower of another."""
    mask = np.full((16, 16), values[0], np.uint8)
    mask[8:] = values[1]
    for file in (root / "masks").iterdir():
        Image.fromarray(mask).convert(mode, dither=Image.Dither.NONE).save(file)


@pytest.mark.parametrize(("mode", "values"), [("1", (0, 255)), ("RGB", (0, 1))])
def test_masks_of_one_bit_and_greys_stored_as_colours_are_classes(root, mode, values):
    with_masks(root, mode=mode, values=values)
    _, masks = next(iter(data.load(f"masks:{root}?size=8").train.epoch(batch_size=15)))
    assert masks[0, :4].unique().tolist() == [0]
    assert masks[0, 4:].unique().tolist() == [1]


def test_masks_that_show_colours_or_one_class_alone_are_refused(root):
    with_masks(root, values=(0, 255))
    words = "training masks have class 0 alone; pixels of 255 do not count"
    with pytest.raises(DataError, match=words):
        data.load(f"masks:{root}?size=8")
    with_masks(root)
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:8, :, 0] = 128
    Image.fromarray(pixels).save(root / "masks" / "19.png")
    with pytest.raises(DataError, match=r"masks/19\.png: is in colours \(RGB\); a mask's pixels"):
        data.load(f"masks:{root}?size=8")


@pytest.mark.parametrize("drawn_on", ["shown", "stored"])
def test_an_image_is_turned_as_its_mask_is(root, drawn_on):
    """A red upper half, stored on its side; the mask has class 1 where it is red."""
    pixels, mask = np.zeros((24, 12, 3), np.uint8), np.zeros((24, 12), np.uint8)
    pixels[:12, :, 0], mask[:12] = 255, 1
    exif = Image.Exif()
    exif[0x0112] = 6
    for file in (root / "images").iterdir():
        Image.fromarray(pixels).transpose(Image.Transpose.ROTATE_90).save(file, exif=exif)
        drawn = Image.fromarray(mask)
        stored = drawn.transpose(Image.Transpose.ROTATE_90)
        (drawn if drawn_on == "shown" else stored).save(root / "masks" / f"{file.stem}.png")
    splits = data.load(f"masks:{root}?size=8")
    inputs, masks = next(iter(splits.train.epoch(batch_size=15)))
    is_red = inputs[:, 0] > 0
    assert (is_red == masks.bool()).float().mean() > 0.9
    size = (24, 12) if drawn_on == "shown" else (12, 24)
    assert splits.frames.decoded().shape[:2] == size
