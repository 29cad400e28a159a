import os
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from edgespiral import data
from edgespiral.core.errors import DataError, UsageError
from edgespiral.core.text import is_printable
from edgespiral.data.sources.folder import FolderImages, _augmented, _plain


def fill(folder, classes=("cat", "dog"), count=20, start=0):
    for label, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for index in range(count):
            pixels = np.full((20, 30, 3), 10 * label + start + index, dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{index}.png")


def everything(source):
    inputs, labels = zip(*source.epoch(batch_size=7), strict=True)
    return torch.cat(inputs), torch.cat(labels)


@pytest.mark.slow
def test_one_folder_is_split_in_three(tmp_path):
    fill(tmp_path)
    splits = data.load(f"folder:{tmp_path}?size=16")
    parts = [everything(s) for s in (splits.train, splits.validation, splits.test)]
    assert [len(labels) for _, labels in parts] == [31, 3, 6]
    assert all(len(set(labels.tolist())) == 2 for _, labels in parts)
    assert splits.class_names == ("cat", "dog")
    assert splits.input_shape == (3, 16, 16)
    data.check(splits, batch_size=8)


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_ready_made_splits_are_used(tmp_path, name):
    for part, count in (("train", 9), (name, 4), ("test", 3)):
        fill(tmp_path / part, count=count)
    splits = data.load(f"folder:{tmp_path}?size=16")
    assert [len(s) for s in (splits.train, splits.validation, splits.test)] == [18, 8, 6]


@pytest.mark.parametrize("name", ["val", "test"])
def test_a_single_other_part_is_the_test(tmp_path, name):
    fill(tmp_path / "train", count=20)
    fill(tmp_path / name, count=5)
    splits = data.load(f"folder:{tmp_path}?size=16")
    assert [len(s) for s in (splits.train, splits.validation, splits.test)] == [36, 4, 10]


@pytest.mark.parametrize(
    ("names", "counts"),
    [
        (("Training", "Testing"), [18, 2, 6]),
        (("Train", "Val", "Test"), [20, 6, 6]),
        (("TRAIN", "valid", "Testing"), [20, 6, 6]),
    ],
)
def test_parts_are_known_by_their_usual_names_in_capitals_too(tmp_path, names, counts):
    for part in names:
        fill(tmp_path / part, count=10 if part == names[0] else 3)
    splits = data.load(f"folder:{tmp_path}?size=16")
    assert splits.class_names == ("cat", "dog")
    assert [len(s) for s in (splits.train, splits.validation, splits.test)] == counts


def test_two_folders_of_one_part_are_refused(tmp_path):
    for part in ("train", "val", "valid", "test"):
        fill(tmp_path / part, count=2)
    with pytest.raises(DataError, match="val and valid are both folders of the validation part"):
        data.load(f"folder:{tmp_path}?size=16")


@pytest.mark.parametrize("names", [("fold1", "fold2"), ("test", "val")])
def test_folders_that_hold_folders_alone_are_no_classes(tmp_path, names):
    for name in names:
        fill(tmp_path / name, count=5)
    problem = "its folders have no images of their own, but each has cat, dog"
    with pytest.raises(DataError, match=problem):
        data.load(f"folder:{tmp_path}?size=16")


def test_classes_of_folders_with_other_names_are_classes(tmp_path):
    for name in ("cat", "dog"):
        fill(tmp_path / name, classes=(f"{name} in May", f"{name} in June"))
    assert data.load(f"folder:{tmp_path}?size=16").class_names == ("cat", "dog")


def test_pictures_further_below_are_of_the_class_that_has_its_own(tmp_path):
    fill(tmp_path)
    fill(tmp_path / "cat", classes=("session",), count=7)
    splits = data.load(f"folder:{tmp_path}?size=16")
    assert sum(map(len, (splits.train, splits.validation, splits.test))) == 47


def test_only_shuffled_passes_are_augmented(tmp_path):
    fill(tmp_path)
    gradient = np.tile(np.arange(30, dtype=np.uint8)[None, :, None] * 8, (20, 1, 3))
    for path in tmp_path.glob("*/*.png"):
        Image.fromarray(gradient).save(path)
    splits = data.load(f"folder:{tmp_path}?size=16")
    plain, _ = everything(splits.train)
    shuffled, _ = next(splits.train.epoch(batch_size=8, seed=0))
    assert torch.equal(plain[0], plain[1])
    assert not torch.equal(shuffled[0], shuffled[1])


def test_training_images_are_decoded_once_and_those_that_are_scored_each_time(tmp_path):
    for part in ("train", "val", "test"):
        fill(tmp_path / part, count=4)
    splits = data.load(f"folder:{tmp_path}?size=16")
    before, _ = everything(splits.train)
    everything(splits.validation)
    view, _ = next(splits.train.epoch(batch_size=8, seed=0))
    for path in tmp_path.glob("*/*/*.png"):
        Image.fromarray(np.full((20, 30, 3), 250, np.uint8)).save(path)
    assert torch.equal(everything(splits.train)[0], before)
    assert torch.equal(next(splits.train.epoch(batch_size=8, seed=0))[0], view)
    with pytest.raises(DataError, match="not what they were when it was read before"):
        everything(splits.validation)


def test_a_large_jpeg_is_decoded_at_what_views_of_it_need(tmp_path):
    gradient = np.linspace(0, 255, 640, dtype=np.uint8)
    pixels = np.repeat(np.tile(gradient, (480, 1))[..., None], 3, -1)
    Image.fromarray(pixels).save(tmp_path / "wide.jpg", quality=95)
    files = [str(tmp_path / "wide.jpg")]
    assert FolderImages(files, [0], _plain(16), is_kept=True)._decode(0).shape == (16, 16, 3)
    views = FolderImages(files, [0], _augmented(16), is_kept=True)
    assert views._decode(0).shape == (60, 80, 3)
    view, _ = views[0]
    assert view.shape == (3, 16, 16)
    # As the gradient does, it goes from dark to bright, in either direction.
    steps = view[0].mean(0).diff()
    assert bool((steps > 0).all()) or bool((steps < 0).all())


def test_bad_folders_are_one_line(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        data.load(f"folder:{tmp_path / 'none'}")
    with pytest.raises(DataError, match="no images"):
        data.load(f"folder:{tmp_path}")
    fill(tmp_path / "train")
    with pytest.raises(DataError, match="no val or test"):
        data.load(f"folder:{tmp_path}")
    fill(tmp_path / "test", classes=("cat", "horse"))
    with pytest.raises(DataError, match="classes are not those of train"):
        data.load(f"folder:{tmp_path}")


@pytest.mark.parametrize(("query", "error"), [("size=big", DataError), ("sise=64", UsageError)])
def test_bad_options(tmp_path, query, error):
    with pytest.raises(error, match="size"):
        data.load(f"folder:{tmp_path}?{query}")


def damage(path, how):
    if how == "cut short":
        path.write_bytes(path.read_bytes()[:60])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "text":
        path.write_text("not pixels")
    elif how == "loose link":
        path.unlink()
        path.symlink_to(path.parent / "nowhere")
    elif how == "pipe":
        path.unlink()
        os.mkfifo(path)
    elif how == "too large":
        header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
        content = bytearray(path.read_bytes())
        content[16:29] = header
        content[29:33] = struct.pack(">I", zlib.crc32(b"IHDR" + header))
        path.write_bytes(content)


@pytest.mark.parametrize("how", ["cut short", "empty", "text", "loose link", "pipe"])
def test_a_file_that_is_no_image_is_named_before_the_run(tmp_path, how):
    fill(tmp_path)
    damage(tmp_path / "cat" / "3.png", how)
    with pytest.raises(DataError, match=r"cat/3\.png: is not an image") as caught:
        data.load(f"folder:{tmp_path}?size=16")
    assert is_printable(str(caught.value))


def test_an_image_too_large_for_memory_is_named_before_the_run(tmp_path):
    fill(tmp_path)
    damage(tmp_path / "dog" / "0.png", "too large")
    with pytest.raises(DataError, match=r"dog/0\.png: .*(900 megapixels|DecompressionBomb)"):
        data.load(f"folder:{tmp_path}?size=16")


def test_several_such_files_are_counted(tmp_path):
    fill(tmp_path)
    for index in (2, 5, 7):
        damage(tmp_path / "cat" / f"{index}.png", "empty")
    with pytest.raises(DataError, match=r"cat/2\.png: .*\(and 2 more files like it\)"):
        data.load(f"folder:{tmp_path}?size=16")


def test_an_image_that_is_damaged_meanwhile_is_named(tmp_path):
    fill(tmp_path)
    splits = data.load(f"folder:{tmp_path}?size=16")
    for path in tmp_path.glob("*/*.png"):
        damage(path, "empty")
    with pytest.raises(
        DataError, match=r"/\d+\.png: cannot be read: UnidentifiedImageError"
    ) as caught:
        next(splits.train.epoch(batch_size=4, seed=0))
    assert is_printable(str(caught.value))


def shown(folder):
    """The first picture of the test part in levels from 0 to 255, (3, H, W)."""
    splits = data.load(f"folder:{folder}?size=8")
    inputs, _ = everything(splits.test)
    how = splits.normalisation
    mean, std = (torch.tensor(values).reshape(3, 1, 1) for values in (how.mean, how.std))
    return (inputs[0] * std + mean) * 255


def of_one_picture(folder, save):
    for part in ("train", "val", "test"):
        for name in ("cat", "dog"):
            (folder / part / name).mkdir(parents=True)
            for index in range(2):
                save(folder / part / name, index)


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_values_of_16_bits_are_scaled_not_clipped(tmp_path, ending):
    def save(folder, index):
        pixels = np.full((20, 20), 100 * 256 + ord(folder.name[0]) + index, np.uint16)
        pixels[0, 0] = ord(folder.parent.name[0])
        Image.fromarray(pixels).save(folder / f"{index}.{ending}")

    of_one_picture(tmp_path, save)
    assert shown(tmp_path)[:, 4:].round().unique().tolist() == [100]


def test_values_of_no_known_range_are_refused_by_their_file(tmp_path):
    fill(tmp_path)
    Image.fromarray(np.full((20, 20), 1e6, np.float32)).save(tmp_path / "cat" / "x.tif")
    with pytest.raises(DataError, match=r"cat/x\.tif: has values of kind F, not of 8 or 16 bits"):
        data.load(f"folder:{tmp_path}")


def test_what_is_transparent_is_white(tmp_path):
    def save(folder, index):
        pixels = np.zeros((20, 20, 4), np.uint8)
        # Black strokes on no ground, in another place of each part.
        pixels[0, index, 3] = ord(folder.parent.name[1]) + ord(folder.name[0])
        Image.fromarray(pixels).save(folder / f"{index}.png")

    of_one_picture(tmp_path, save)
    assert shown(tmp_path)[:, 4:].round().unique().tolist() == [255]


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "tif"])
def test_pictures_are_shown_as_viewers_turn_them(tmp_path, ending):
    def save(folder, index):
        pixels = np.full((64, 64), 9, np.uint8)
        pixels[:32] = 200 + 9 * index + ord(folder.parent.name[1]) // 10 + (folder.name == "cat")
        exif = Image.Exif()
        exif[0x0112] = 6
        stored = Image.fromarray(pixels).transpose(Image.Transpose.ROTATE_90)
        stored.convert("RGB").save(folder / f"{index}.{ending}", exif=exif)

    of_one_picture(tmp_path, save)
    picture = shown(tmp_path)
    assert float(picture[:, :3].min()) > 150
    assert float(picture[:, 5:].max()) < 50


def test_gifs_are_read_and_what_is_left_out_is_told(tmp_path):
    fill(tmp_path)
    Image.fromarray(np.full((20, 20), 77, np.uint8)).save(tmp_path / "dog" / "x.gif")
    whole = data.load(f"folder:{tmp_path}?size=8")
    assert sum(len(part) for part in (whole.train, whole.validation, whole.test)) == 41
    assert whole.notes == ()
    for name in ("a.heic", "b.HEIC", "c.txt", ".hidden"):
        (tmp_path / "cat" / name).write_text("no picture")
    [note] = data.load(f"folder:{tmp_path}?size=8").notes
    assert note.startswith("3 files are left out")
    assert note.endswith(": .heic, .txt")
