from __future__ import annotations

import numpy as np
import pytest

from edgespiral.core.errors import DataError
from edgespiral.data.files.columns import CategoryColumn, RealColumn, is_missing, is_number, values
from edgespiral.data.files.tables import Row


def rows(*told, column="age"):
    return [Row({column: text}, f"people.csv:{line}") for line, text in enumerate(told, 2)]


def test_what_is_a_number_and_what_is_missing():
    assert [is_number(text) for text in ("1", "-2.5e3", "", "nan", "inf", "old")] == [
        *(True, True), *(False,) * 4,
    ]  # fmt: skip
    assert [is_missing(text) for text in ("", "NA", "nan", "0", "?")] == [True] * 3 + [False] * 2
    assert values(rows(" 1 ", "2"), "age") == ["1", "2"]


def test_real_columns_are_standardised_by_training_rows():
    column = RealColumn.of(rows("1", "3", "5"), "age", fills=False)
    numbers = column.numbers(rows("1", "3", "5"))
    assert numbers.dtype == np.float32
    assert (numbers.mean(), numbers.std()) == (pytest.approx(0), pytest.approx(1))
    assert column.numbers(rows("3", "8")).tolist() == pytest.approx([0.0, 5 / column.deviation])
    assert RealColumn.of(rows("7", "7"), "age", fills=False).numbers(rows("7")).tolist() == [0.0]


def test_bad_numbers_are_told_with_file_line_and_column():
    column = RealColumn.of(rows("1", "3"), "age", fills=False)
    with pytest.raises(DataError, match=r"people\.csv:3: age is missing; \?missing=mean"):
        column.numbers(rows("1", "NaN"))
    with pytest.raises(DataError, match=r"people\.csv:2: age is 'old', not a number"):
        column.numbers(rows("old"))
    filled = RealColumn.of(rows("1", "", "3"), "age", fills=True)
    assert filled.numbers(rows("", "2")).tolist() == [0.0, 0.0]


def test_categories_have_codes_and_unseen_ones_are_told_or_counted_together():
    column = CategoryColumn("job", ("baker", "smith"), first=4, admits_unseen=False)
    assert column.count == 3
    assert column.codes(rows("smith", "baker", column="job")).tolist() == [6, 5]
    with pytest.raises(DataError, match=r"people\.csv:2: job is 'poet', which no training row has"):
        column.codes(rows("poet", column="job"))
    admitting = CategoryColumn("job", ("baker", "smith"), first=4, admits_unseen=True)
    assert admitting.codes(rows("poet", column="job")).tolist() == [4]


def test_a_constant_column_is_left_as_it_is_whatever_rounding_makes_of_its_mean():
    constant = RealColumn.of(rows(*["0.1"] * 7), "age", fills=False)
    assert constant.deviation == 1.0
    assert constant.numbers(rows("0.2"))[0] == pytest.approx(0.1)


def test_numbers_too_large_for_a_mean_and_columns_without_any_are_told():
    with pytest.raises(DataError, match=r"people\.csv:3: age is -1e308, too large"):
        RealColumn.of(rows("3", "-1e308", "1e308"), "age", fills=False)
    with pytest.raises(DataError, match=r"people\.csv: no training row has a number in age"):
        RealColumn.of(rows("a", "b"), "age", fills=True)
