import numpy as np
import pytest

from edgespiral.core.errors import DataError
from edgespiral.data.holdout import drawn_apart, hold_out


def test_parts_are_disjoint_stratified_and_repeatable():
    labels = np.repeat(np.arange(4), 25)
    kept, held = hold_out(labels, 20, where="t.csv")
    assert sorted([*kept, *held]) == list(range(100))
    assert np.bincount(labels[held]).tolist() == [5, 5, 5, 5]
    assert np.array_equal(hold_out(labels, 20, where="t.csv")[1], held)
    assert not np.array_equal(hold_out(labels, 20, where="t.csv", seed=1)[1], held)


@pytest.mark.parametrize(("labels", "count"), [([0, 0, 0, 1], 2), ([0, 1, 0, 1], 1), ([0, 1], 5)])
def test_classes_too_small_to_split(labels, count):
    with pytest.raises(DataError, match=r"t\.csv: cannot hold"):
        hold_out(np.array(labels), count, where="t.csv")


def test_what_is_drawn_apart_is_the_same_each_time_and_never_nothing():
    kept, held = drawn_apart(range(40), 0.15)
    assert (len(kept), len(held)) == (34, 6)
    assert sorted([*kept, *held]) == list(range(40))
    assert drawn_apart(range(40), 0.15) == (kept, held)
    assert drawn_apart(["only"], 0.1) == ([], ["only"])
