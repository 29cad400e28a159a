import pytest
from PIL import Image

from edgespiral.core.errors import DataError
from edgespiral.data.images import MOST_PIXELS, check_images


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
