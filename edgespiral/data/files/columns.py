"""Columns of tables as numbers: which are real, which are categories, and what each holds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgespiral.core.errors import DataError
from edgespiral.data.files.tables import value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edgespiral.data.files.tables import Row

MISSING = ("", "na", "nan", "null", "none")


def is_missing(text: str) -> bool:
    """Whether nothing was written down."""
    return text.lower() in MISSING


def is_number(text: str) -> bool:
    """Whether it is a finite number."""
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _size(text: str) -> float:
    return abs(float(text)) if is_number(text) else 0.0


def values(rows: Sequence[Row], column: str) -> list[str]:
    """What each row has in a column.

    Raises:
        DataError: a row has no such column.
    """
    return [value(row, column) for row in rows]


@dataclass(frozen=True)
class RealColumn:
    """A column of real numbers, standardised by its training rows.

    Attributes:
        fills: where a number is missing, the mean takes its place.
    """

    name: str
    mean: float
    deviation: float
    fills: bool

    @classmethod
    def of(cls, rows: Sequence[Row], name: str, *, fills: bool) -> RealColumn:
        """That of the training rows.

        Raises:
            DataError: none of them has a number, or one is too large for a mean.
        """
        numbers = [float(text) for text in values(rows, name) if is_number(text)]
        if not numbers:
            where = rows[0].where.rpartition(":")[0]
            raise DataError(f"no training row has a number in {name}", where=where)
        with np.errstate(all="ignore"):
            mean, deviation = float(np.mean(numbers)), float(np.std(numbers))
        if not math.isfinite(mean + deviation):
            row = max(rows, key=lambda row: _size(value(row, name)))
            what = f"{name} is {value(row, name)}, too large for a mean and a deviation"
            raise DataError(what, where=row.where)
        # Of numbers that are all the same, rounding would be left.
        is_constant = min(numbers) == max(numbers)
        return cls(name, mean, 1.0 if is_constant else deviation, fills)

    def numbers(self, rows: Sequence[Row]) -> NDArray[np.float32]:
        """(N,), of zero mean and unit deviation on the training rows.

        Raises:
            DataError: a value is no number, or missing; the file, line and column are named.
        """
        return np.array([self._number(row) for row in rows], np.float32)

    def _number(self, row: Row) -> float:
        text = value(row, self.name)
        if is_number(text):
            return (float(text) - self.mean) / self.deviation
        if self.fills and is_missing(text):
            return 0.0
        problem = "is missing" if is_missing(text) else f"is {text!r}, not a number"
        raise DataError(
            f"{self.name} {problem}",
            where=row.where,
            hint="?missing=mean puts the training rows' mean where a number is missing",
        )


@dataclass(frozen=True)
class CategoryColumn:
    """A column of categories, of which each has a code.

    Attributes:
        known: categories of the training rows, of which what is missing is one.
        first: the code of whatever training has not seen, which the known ones follow.
        admits_unseen: that there may be such.
    """

    name: str
    known: tuple[str, ...]
    first: int
    admits_unseen: bool

    @property
    def count(self) -> int:
        """How many codes there are."""
        return 1 + len(self.known)

    def codes(self, rows: Sequence[Row]) -> NDArray[np.int64]:
        """(N,), from `first` on.

        Raises:
            DataError: a category that training has not seen; file, line and column are named.
        """
        code_of = {text: code for code, text in enumerate(self.known, self.first + 1)}
        return np.array([self._code(row, code_of) for row in rows], np.int64)

    def _code(self, row: Row, code_of: dict[str, int]) -> int:
        text = value(row, self.name)
        if text in code_of or self.admits_unseen:
            return code_of.get(text, self.first)
        raise DataError(
            f"{self.name} is {text!r}, which no training row has",
            where=row.where,
            hint="?unseen=other counts all such as one category",
        )
