import sys

import pytest
import torch

from edgespiral.core.errors import DataError, MissingExtraError
from edgespiral.tasks.detection.precision import average_precision


def objects(*rows):
    """Of one image, from rows of label, x0, y0, x1, y1 and where there is one a score."""
    table = torch.tensor(rows, dtype=torch.float32).reshape(len(rows), len(rows[0]) if rows else 6)
    found = {"labels": table[:, 0].long(), "boxes": table[:, 1:5]}
    return found | ({"scores": table[:, 5]} if table.shape[1] > 5 else {})


WANTED = [objects((0, 0, 0, 10, 10), (1, 20, 20, 40, 40)), objects((0, 5, 5, 15, 15)), objects()]


def test_all_found_is_all_right():
    found = [
        objects((0, 0, 0, 10, 10, 0.9), (1, 20, 20, 40, 40, 0.8)),
        objects((0, 5, 5, 15, 15, 0.7)),
        objects(),
    ]
    assert average_precision(found, WANTED) == pytest.approx(100.0)
    assert average_precision(found, WANTED, "AP") == pytest.approx(100.0)


def test_precision_is_by_hand_that_of_101_points():
    """Class 0: right, wrong, right; class 1: nothing found."""
    found = [
        objects((0, 0, 0, 10, 10, 0.9), (0, 50, 50, 60, 60, 0.8)),
        objects((0, 5, 5, 15, 15, 0.7)), objects(),
    ]  # fmt: skip
    of_class_0 = (51 * 1.0 + 50 * 2 / 3) / 101
    assert average_precision(found, WANTED) == pytest.approx(100 * of_class_0 / 2)


def test_overlap_decides():
    shifted = [
        objects((0, 0, 0, 10, 7, 0.9), (1, 20, 20, 40, 34, 0.9)),
        objects((0, 5, 5, 15, 12, 0.9)),
        objects(),
    ]
    assert average_precision(shifted, WANTED) == pytest.approx(100.0)
    # Of ten overlaps from 0.5 to 0.95, 0.5 to 0.7 are below 0.7.
    assert average_precision(shifted, WANTED, "AP") == pytest.approx(50.0, abs=10.1)
    assert average_precision([objects()] * 3, WANTED) == 0.0


def test_a_split_without_objects_has_no_precision():
    with pytest.raises(DataError, match="not defined"):
        average_precision([objects((0, 0, 0, 1, 1, 0.5))], [objects()])


def test_a_missing_package_is_told_in_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "faster_coco_eval", None)
    with pytest.raises(MissingExtraError, match=r"average precision needs .*\[detection\]"):
        average_precision([objects()], WANTED[:1])
