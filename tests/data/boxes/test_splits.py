import numpy as np
import pytest

from edgespiral.core.errors import DataError
from edgespiral.data.boxes.annotated import Annotated
from edgespiral.data.boxes.options import parsed
from edgespiral.data.boxes.splits import box_splits, by_part


@pytest.fixture
def annotated(tmp_path, write_pictures):
    """Makes pictures with a cat each."""

    def make(*names):
        files = write_pictures(tmp_path / "pictures", names)
        box = np.array([[1.0, 1, 9, 9]])
        return [Annotated(file, f"{file}.txt", np.zeros(1, np.int64), box) for file in files]

    return make


def lengths(found):
    return [len(part) for part in (found.train, found.validation, found.test)]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"train": 20}, [15, 2, 3]),
        ({"train": 20, "test": 4}, [18, 2, 4]),
        ({"train": 20, "validation": 4}, [18, 2, 4]),
        ({"train": 20, "validation": 4, "test": 5}, [20, 4, 5]),
    ],
)
def test_parts_that_are_not_given_are_held_out(tmp_path, annotated, given, expected):
    parts = {name: annotated(*(f"{name}{at}" for at in range(n))) for name, n in given.items()}
    found = box_splits("pets", parts, ["cat"], parsed("voc", f"{tmp_path}?size=16"))
    assert lengths(found) == expected
    assert found.notes[0] == f"train: {expected[0]} pictures, {expected[0]} objects"
    assert "scaled up" not in found.notes[-1]


def test_a_class_that_a_part_lacks_is_told(tmp_path, annotated):
    parts = {"train": annotated("a", "b", "c"), "test": annotated("d")}
    found = box_splits("pets", parts, ["cat", "dog"], parsed("voc", f"{tmp_path}"))
    assert "test: no object of dog, which does not count there" in found.notes
    assert "scaled up to 128 x 128" in found.notes[-1]
    assert "?size=40x24 behind" in found.notes[-1]


def test_what_cannot_be_divided_is_told(tmp_path, annotated):
    options = parsed("voc", str(tmp_path))
    [one] = annotated("a")
    for parts, told in (
        ({"train": [one]}, "pets: train: no pictures"),
        ({}, "pets: train: no pictures"),
        ({"train": [one, one, *annotated("b", "c")], "test": annotated("d")}, "twice in train"),
        ({"train": annotated("b", "c"), "test": annotated("c")}, r"c\.png: is in \w+ and in test"),
    ):
        with pytest.raises(DataError, match=told):
            box_splits("pets", parts, ["cat"], options)
    with pytest.raises(DataError, match="so there are no classes"):
        box_splits("pets", {"train": [one]}, [], options)


def test_parts_go_by_their_usual_names():
    assert by_part(["valid", "test", "train", "other"]) == {
        "train": "train", "validation": "valid", "test": "test",
    }  # fmt: skip
