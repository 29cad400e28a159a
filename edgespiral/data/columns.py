"""Columns of a table as numbers: which are real, which are categories, and what each holds."""

from __future__ import annotations

import csv
import gzip
import io
import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgespiral.core.errors import DataError, first_few
from edgespiral.core.system.files import read_bytes
from edgespiral.core.user_code import user_code

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

# The code of a category that training has not seen, where that is allowed.
OTHER = 0
MISSING = ("", "na", "nan", "null", "none")


@dataclass(frozen=True)
class Table:
    """A file's rows of text.

    Attributes:
        path: of the file.
        names: of the columns.
        rows: one list of values a row, without the line of names.
        first_line: of the file, that the first row is on.
    """

    path: Path
    names: Sequence[str]
    rows: Sequence[Sequence[str]]
    first_line: int

    def column(self, name: str) -> list[str]:
        """The values of one column.

        Raises:
            DataError: there is no such column.
        """
        if name not in self.names:
            raise DataError(
                f"has no column {name!r}",
                where=str(self.path),
                hint=f"its columns are {first_few(list(self.names))}",
            )
        at = list(self.names).index(name)
        return [row[at] for row in self.rows]

    def place(self, row: int, column: str) -> str:
        """Where a value is, as errors name it."""
        return f"{self.path}:{self.first_line + row}: {column}"


def read_table(path: Path, *, separator: str = ",", has_names: bool = True) -> Table:
    """The rows of a CSV file, which may be packed with gzip.

    Args:
        separator: between values.
        has_names: the first line names the columns; else they are called 1, 2 and so on.

    Raises:
        DataError: no such file, not text, no rows, or a row with more or fewer values.
    """
    with user_code(DataError, "cannot be read", where=str(path)):
        content = read_bytes(path)
        content = gzip.decompress(content) if path.suffix == ".gz" else content
        text = content.decode("utf-8-sig")
    lines = [
        (number, [value.strip() for value in row])
        for number, row in enumerate(csv.reader(io.StringIO(text), delimiter=separator), 1)
        if any(value.strip() for value in row)
    ]
    if len(lines) <= has_names:
        raise DataError("has no rows", where=str(path))
    names = lines[0][1] if has_names else [str(at + 1) for at in range(len(lines[0][1]))]
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise DataError(f"two columns are called {twice[0]!r}", where=str(path))
    for number, row in lines[has_names:]:
        if len(row) != len(names):
            what = f"has {len(row)} values, and there are {len(names)} columns"
            raise DataError(what, where=f"{path}:{number}")
    return Table(path, names, [row for _, row in lines[has_names:]], lines[has_names][0])


def is_missing(value: str) -> bool:
    """Whether nothing was written down."""
    return value.lower() in MISSING


def is_number(value: str) -> bool:
    """Whether it is a finite number."""
    try:
        return math.isfinite(float(value))
    except ValueError:
        return False


@dataclass(frozen=True)
class RealColumn:
    """A column of real numbers, standardised by its training rows."""

    name: str
    mean: float
    deviation: float
    fills: bool

    @classmethod
    def of(cls, table: Table, name: str, *, fills: bool) -> RealColumn:
        """That of the training table; where a number may be missing, the mean `fills` it."""
        known = [float(value) for value in table.column(name) if is_number(value)]
        deviation = float(np.std(known)) if known else 0.0
        return cls(name, float(np.mean(known)) if known else 0.0, deviation or 1.0, fills)

    def values(self, table: Table) -> NDArray[np.float32]:
        """(N,) with zero mean and unit deviation on the training rows.

        Raises:
            DataError: a value is no number, or missing; the file, line and column are named.
        """
        numbers = np.zeros(len(table.rows), np.float32)
        for row, value in enumerate(table.column(self.name)):
            if is_number(value):
                numbers[row] = (float(value) - self.mean) / self.deviation
            elif not (self.fills and is_missing(value)):
                told = "is missing" if is_missing(value) else f"is {value!r}, not a number"
                raise DataError(
                    f"{told}",
                    where=table.place(row, self.name),
                    hint="missing=mean puts the training rows' mean in its place",
                )
        return numbers


@dataclass(frozen=True)
class CategoryColumn:
    """A column of categories: codes from `first` on, in the order of their names.

    Attributes:
        known: categories of the training rows; what is missing is one of them.
        first: the code of what training has not seen, which the known ones follow.
        admits_unseen: that there may be such.
    """

    name: str
    known: tuple[str, ...]
    first: int
    admits_unseen: bool

    @property
    def codes(self) -> int:
        """How many there are."""
        return len(self.known) + 1

    def values(self, table: Table) -> NDArray[np.int64]:
        """Codes (N,).

        Raises:
            DataError: a category that training has not seen; file, line and column are named.
        """
        code_of = {value: self.first + 1 + at for at, value in enumerate(self.known)}
        codes = np.full(len(table.rows), self.first + OTHER, np.int64)
        for row, value in enumerate(table.column(self.name)):
            if value in code_of:
                codes[row] = code_of[value]
            elif not self.admits_unseen:
                raise DataError(
                    f"is {value!r}, which no training row has",
                    where=table.place(row, self.name),
                    hint="unseen=other counts all such as one category",
                )
        return codes
