import numpy as np
import pytest

from edgespiral.core.errors import DataError
from edgespiral.data.boxes.annotated import Annotated, boxed


def annotated(file, *boxes, **more):
    labels = np.zeros(len(boxes), np.int64)
    return Annotated(file, f"{file}.txt", labels, np.array(boxes, np.float64), **more)


@pytest.fixture
def file(tmp_path, write_pictures):
    return write_pictures(tmp_path, ["a"])[0]


def test_boxes_become_shares_of_their_picture(file):
    in_pixels = annotated(file, (4, 5, 14, 15))
    in_shares = annotated(file, (0.1, 0.25, 0.35, 0.75), in_shares=True)
    for one in boxed([in_pixels, in_shares], ["cat"], drops_faulty=False):
        assert one.boxes.tolist() == [[0.1, 0.25, 0.35, 0.75]]
        assert one.faulty == 0


def test_what_reaches_a_little_beyond_is_clipped(file):
    [one] = boxed([annotated(file, (-1, 0, 41, 20.5))], ["cat"], drops_faulty=False)
    assert one.boxes.tolist() == [[0, 0, 1, 1]]


@pytest.mark.parametrize(
    "box",
    [(1, 1, 1, 5), (5, 1, 2, 5), (0, 0, 42.1, 9), (-2, 0, 3, 9), (np.inf, 0, 3, 9), (40, 0, 41, 9)],
)
def test_faulty_boxes_are_refused_or_left_out(file, box):
    both = [annotated(file, (1, 1, 9, 9), box), annotated(file, box)]
    with pytest.raises(DataError, match=r"a\.png\.txt: box 2 \(cat: .*and 1 more faulty"):
        boxed(both, ["cat"], drops_faulty=False)
    kept = boxed(both, ["cat"], drops_faulty=True)
    assert [(len(one.labels), one.faulty) for one in kept] == [(1, 1), (0, 1)]


def test_a_size_that_annotations_do_not_know_is_not_compared(file):
    assert boxed([annotated(file, size=(0, 0))], [], drops_faulty=False)
    with pytest.raises(DataError, match=r"on a picture of 20 x 40 .* a\.png has 40 x 20"):
        boxed([annotated(file, size=(20, 40))], [], drops_faulty=False)


def test_missing_pictures_are_counted(tmp_path, file):
    lost = [annotated(tmp_path / f"{name}.png") for name in "xyz"]
    with pytest.raises(DataError, match=r"x\.png is missing \(and 2 more like it\)"):
        boxed([annotated(file), *lost], [], drops_faulty=True)
