"""Pictures as viewers show them, from the bytes of files."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from edgespiral.core.stages.decoding import decoded, rgb, upright_size


def encoded(picture, kind="PNG", **how):
    content = io.BytesIO()
    picture.save(content, kind, **how)
    return content.getvalue()


def oriented(number):
    exif = Image.Exif()
    exif[0x0112] = number
    return exif


def corners():
    """48 x 16 with another grey in each quarter."""
    pixels = np.zeros((16, 48), np.uint8)
    pixels[:8, 24:], pixels[8:, :24], pixels[8:, 24:] = 80, 160, 240
    return Image.fromarray(pixels)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize("number", range(10))
def test_every_orientation_is_that_of_pillow(kind, number):
    content = encoded(corners().convert("RGB"), kind, exif=oriented(number))
    with Image.open(io.BytesIO(content)) as image:
        size = upright_size(image)
    with Image.open(io.BytesIO(content)) as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    made = decoded(content, "picture", None)
    assert np.array_equal(made, expected)
    assert made.shape[1::-1] == size


def test_what_is_asked_for_as_stored_is_not_turned():
    content = encoded(corners(), exif=oriented(6))
    assert decoded(content, "picture", None).shape == (48, 16, 3)
    assert decoded(content, "picture", None, False).shape == (16, 48, 3)


def test_a_picture_on_its_side_is_drafted_by_the_size_that_is_shown():
    wide = corners().convert("RGB").resize((1600, 400))
    content = encoded(wide, "JPEG", exif=oriented(6))
    assert decoded(content, "picture", (100, 400)).shape == (400, 100, 3)
    # A quarter of it would be too narrow for the other way round.
    assert decoded(content, "picture", (400, 100)).shape == (1600, 400, 3)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_is_white_and_the_rest_as_it_was(mode):
    clear = Image.new("RGBA", (4, 2), (0, 0, 0, 0))
    clear.putpixel((1, 1), (9, 9, 9, 255))
    how = {"transparency": 0} if mode == "P" else {}
    picture = Image.new("P", (4, 2), 0) if mode == "P" else clear.convert(mode)
    if mode == "P":
        picture.putpalette([0, 0, 0, 9, 9, 9])
        picture.putpixel((1, 1), 1)
    made = decoded(encoded(picture, **how), "picture", None)
    assert made[1, 1].tolist() == [9, 9, 9]
    assert np.delete(made.reshape(-1, 3), 5, axis=0).min() == 255


@pytest.mark.parametrize(("kind", "form"), [("PNG", "<u2"), ("TIFF", "<u2"), ("TIFF", ">u2")])
def test_the_upper_byte_of_16_bits_is_taken(kind, form):
    values = np.array([[0, 255, 256, 65535]], np.uint16).astype(form)
    made = decoded(encoded(Image.fromarray(values), kind), "picture", None)
    assert made[0, :, 0].tolist() == [0, 0, 1, 255]


@pytest.mark.parametrize("value", [np.float32(0.5), np.int32(70000), np.int32(-1)])
def test_values_of_no_known_range_are_no_picture(value):
    with pytest.raises(ValueError, match="are not read"):
        rgb(Image.fromarray(np.full((2, 2), value)))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_damaged_words_about_a_picture_leave_it_as_it_is():
    content = encoded(corners().convert("RGB"), "JPEG", exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff")
    assert decoded(content, "picture", None).shape == (16, 48, 3)
