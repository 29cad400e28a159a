import pytest
from PIL import Image

from edgespiral import data
from edgespiral.core.errors import DataError
from edgespiral.data.images import MOST_PIXELS, check_images, small_pictures


@pytest.mark.parametrize("kind", ["png", "jpg", "bmp", "gif", "webp"])
def test_images_of_every_usual_format_are_taken(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    Image.new("RGB", (16, 12), (200, 30, 7)).save(path)
    check_images([path])


def test_a_folder_and_a_missing_file_are_no_images(tmp_path):
    with pytest.raises(DataError, match="is not an image: no regular file"):
        check_images([tmp_path])
    with pytest.raises(DataError, match="is not an image: No such file or directory"):
        check_images([tmp_path / "none.png"])


def test_the_largest_picture_is_the_one_that_pillow_warns_of():
    assert MOST_PIXELS == Image.MAX_IMAGE_PIXELS


def test_pictures_that_are_scaled_up_get_a_size_of_their_own(write_pictures, tmp_path):
    pictures = write_pictures(tmp_path, map(str, range(5)), size=(60, 37))
    pictures += write_pictures(tmp_path / "large", ["one"], size=(600, 400))
    [line] = small_pictures(pictures, (224, 224), square=True)
    assert line.startswith(
        "most pictures are of about 60 x 37 pixels and are scaled up to 224 x 224"
    )
    assert "?size=64 behind" in line
    [line] = small_pictures(pictures, (128, 96), square=False)
    assert "?size=64x40 behind" in line
    assert small_pictures(pictures, (72, 72), square=True) == []
    assert small_pictures(pictures[-1:], (224, 224), square=True) == []
    assert small_pictures([], (224, 224), square=True) == []


def test_it_is_said_of_a_size_that_nobody_asked_for(write_pictures, tmp_path):
    for kind in ("cat", "dog"):
        write_pictures(tmp_path / kind, map(str, range(20)))
    [note] = data.load(f"folder:{tmp_path}").notes
    assert "?size=40 behind" in note
    assert data.load(f"folder:{tmp_path}?size=224").notes == ()
