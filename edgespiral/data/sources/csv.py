"""Rows of a CSV file: real columns standardised, categories as codes, one column to be told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import numpy as np
import torch

from edgespiral.core.batches import DataSplits, InputSpec
from edgespiral.core.errors import DataError, UsageError, unknown_name
from edgespiral.data.columns import CategoryColumn, RealColumn, Table, is_number, read_table
from edgespiral.data.holdout import hold_out
from edgespiral.data.rows import StoredRows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

OPTIONS = (
    *("target", "positive", "number", "ignore", "categories", "validation", "test", "separator"),
    *("names", "missing", "unseen"),
)
VALIDATION_PART, TEST_PART = 0.15, 0.2
# Whole numbers of at most so many values are classes, more are numbers.
MOST_CLASSES = 20
NUMBERS, CATEGORIES = "numbers", "categories"


@dataclass(frozen=True)
class Asked:
    """What is asked for behind the file's name."""

    path: Path
    options: Mapping[str, str]

    @property
    def where(self) -> str:
        """What errors call it."""
        return f"csv:{self.path}"

    def names(self, option: str) -> list[str]:
        """The columns that an option lists."""
        return [name for name in self.options.get(option, "").split(",") if name]

    def choice(self, option: str, *allowed: str) -> str:
        """The value of an option, the first of `allowed` if it is not given."""
        value = self.options.get(option, allowed[0])
        if value not in allowed:
            raise unknown_name(f"value of {option}", value, list(allowed))
        return value

    def table(self, path: Path) -> Table:
        """The rows of a file as it is laid out here."""
        separator = {"tab": "\t"}.get(self.options.get("separator", ","))
        return read_table(
            path,
            separator=separator or self.options.get("separator", ","),
            has_names=self.choice("names", "first-line", "none") == "first-line",
        )


def load_csv(argument: str) -> DataSplits:
    """`csv:FILE?target=COLUMN`: what a row's other columns say of that one.

    Options: `target` is a column, or `last`; `ignore` and `categories` list columns; `number=yes`
    takes a target for a number that looks like classes; `positive` is the class that counts as 1 of
    two; `validation` and `test` name files with the rest, without which a part of the rows, the
    same each time, is held out; `names=none` for a file whose first line is a row, whose columns
    are called 1, 2 and so on; `separator` (`tab` is one); `missing=mean`; `unseen=other`.

    Inputs are `numbers` (columns,) float32 and `categories` (columns,) int64, in a dict where there
    are both. Codes of all categories are below one `token_count`.

    Raises:
        UsageError: no such option, or no target.
        DataError: a file cannot be read, has no such column, or a value is missing, no number, or a
            category that no training row has; file, line and column are named.
    """
    asked = _parsed(argument)
    tables = _tables(asked)
    target = _target(asked, tables[0])
    columns = _columns(asked, tables[0], target)
    classes = _classes(asked, tables[0], target)
    train, validation, test = (_part(table, columns, target, classes) for table in tables)
    specs = _specs(columns)
    is_one = len(specs) == 1
    only = next(iter(specs.values()))
    return DataSplits(
        name=asked.where,
        train=train,
        validation=validation,
        test=test,
        class_names=classes or (),
        input_shape=only.shape if is_one else (),
        token_count=only.token_count if is_one else None,
        target_shape=None if classes is None else (),
        inputs=None if is_one else specs,
    )


def _parsed(argument: str) -> Asked:
    path, _, query = argument.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    for name in options:
        if name not in OPTIONS:
            raise unknown_name("csv option", name, OPTIONS)
    if not path or "target" not in options:
        raise UsageError(
            "which column is to be told is not said", where="--data", hint="csv:FILE?target=COLUMN"
        )
    return Asked(Path(path).expanduser(), options)


def _tables(asked: Asked) -> tuple[Table, Table, Table]:
    """Training, validation and test rows."""
    whole = asked.table(asked.path)
    given = {
        part: asked.table(Path(asked.options[part]).expanduser())
        for part in ("validation", "test")
        if part in asked.options
    }
    for table in given.values():
        if list(table.names) != list(whole.names):
            raise DataError(f"has other columns than {whole.path}", where=str(table.path))
    rest, test = (whole, given["test"]) if "test" in given else _held_out(asked, whole, TEST_PART)
    if "validation" in given:
        return rest, given["validation"], test
    train, validation = _held_out(asked, rest, VALIDATION_PART)
    return train, validation, test


def _held_out(asked: Asked, table: Table, part: float) -> tuple[Table, Table]:
    """(the rest, about `part` of the rows), classes in proportion; a row keeps its line."""
    labels = table.column(_target(asked, table))
    classes = _classes(asked, table, _target(asked, table))
    known = np.zeros(len(labels), np.int64)
    if classes is not None:
        known = np.array([classes.index(label) for label in labels])
    kept, held = hold_out(known, round(part * len(labels)))
    return _rows_of(table, kept), _rows_of(table, held)


@dataclass(frozen=True)
class _Lines(Table):
    """Some rows of a table, which know their lines."""

    lines: Sequence[int] = ()

    def place(self, row: int, column: str) -> str:
        return f"{self.path}:{self.lines[row]}: {column}"


def _rows_of(table: Table, chosen: np.ndarray) -> Table:
    first = [table.first_line + at for at in range(len(table.rows))]
    lines = table.lines if isinstance(table, _Lines) else first
    rows = [table.rows[at] for at in chosen]
    return _Lines(table.path, table.names, rows, table.first_line, [lines[at] for at in chosen])


def _target(asked: Asked, table: Table) -> str:
    name = asked.options["target"]
    name = table.names[-1] if name == "last" and "last" not in table.names else name
    table.column(name)
    return name


def _classes(asked: Asked, table: Table, target: str) -> tuple[str, ...] | None:
    """The classes of the target, the one that counts as 1 last; None where it is a number."""
    values = set(table.column(target))
    numeric = all(is_number(value) for value in values)
    whole = numeric and all(float(value).is_integer() for value in values)
    told = asked.choice("number", "", "yes", "no")
    is_class = not numeric or (whole and len(values) <= MOST_CLASSES)
    if told == "yes" or (not told and not is_class):
        return None
    names = sorted(values, key=float) if numeric else sorted(values)
    positive = asked.options.get("positive")
    if positive is not None:
        if positive not in names or len(names) != 2:
            raise DataError(
                f"{positive!r} is none of two classes, which are {', '.join(names[:5])}",
                where=f"{table.path}: {target}",
            )
        names = [name for name in names if name != positive] + [positive]
    return tuple(names)


@dataclass(frozen=True)
class Columns:
    """How a row becomes numbers."""

    real: Sequence[RealColumn]
    categories: Sequence[CategoryColumn]


def _columns(asked: Asked, train: Table, target: str) -> Columns:
    ignored, named = asked.names("ignore"), asked.names("categories")
    for name in (*ignored, *named):
        train.column(name)
    fills = asked.choice("missing", "refuse", "mean") == "mean"
    admits = asked.choice("unseen", "refuse", "other") == "other"
    real: list[RealColumn] = []
    categories: list[CategoryColumn] = []
    first = 0
    for name in train.names:
        if name == target or name in ignored:
            continue
        values = train.column(name)
        if name not in named and _is_real(values):
            real.append(RealColumn.of(train, name, fills=fills))
        else:
            column = CategoryColumn(name, tuple(sorted(set(values))), first, admits)
            categories.append(column)
            first += column.codes
    if not real and not categories:
        raise DataError(f"has no column beside {target!r}", where=str(train.path))
    return Columns(real, categories)


def _is_real(values: Sequence[str]) -> bool:
    """Whether most values are numbers: a word among them is then a mistake and no category."""
    return sum(map(is_number, values)) > len(values) / 2


def _specs(columns: Columns) -> dict[str, InputSpec]:
    specs = {}
    if columns.real:
        specs[NUMBERS] = InputSpec((len(columns.real),))
    if columns.categories:
        codes = sum(column.codes for column in columns.categories)
        specs[CATEGORIES] = InputSpec((len(columns.categories),), codes, "int64")
    return specs


def _part(
    table: Table,
    columns: Columns,
    target: str,
    classes: Sequence[str] | None,
) -> StoredRows:
    inputs: dict[str, Tensor] = {}
    if columns.real:
        values = [column.values(table) for column in columns.real]
        inputs[NUMBERS] = torch.from_numpy(np.stack(values, 1))
    if columns.categories:
        codes = [column.values(table) for column in columns.categories]
        inputs[CATEGORIES] = torch.from_numpy(np.stack(codes, 1))
    targets = _targets(table, target, classes)
    given = inputs if len(inputs) > 1 else next(iter(inputs.values()))
    return StoredRows(given, targets, lambda row: table.place(row, "the row"))


def _targets(table: Table, target: str, classes: Sequence[str] | None) -> Tensor:
    values = table.column(target)
    if classes is None:
        for row, value in enumerate(values):
            if not is_number(value):
                raise DataError(f"is {value!r}, not a number", where=table.place(row, target))
        return torch.tensor([[float(value)] for value in values])
    code_of = {name: at for at, name in enumerate(classes)}
    for row, value in enumerate(values):
        if value not in code_of:
            what = f"is {value!r}, which no training row has"
            raise DataError(what, where=table.place(row, target))
    return torch.tensor([code_of[value] for value in values])


PLUGIN = load_csv
