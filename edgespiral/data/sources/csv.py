"""Rows of a table: real columns standardised, categories as codes, one column to be told."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from edgespiral.core.batches import DataSplits, InputSpec
from edgespiral.core.errors import DataError, UsageError, first_few
from edgespiral.data.argument import Argument
from edgespiral.data.files.columns import CategoryColumn, RealColumn, is_missing, is_number, values
from edgespiral.data.files.parts import TEST_PART, VALIDATION_PART
from edgespiral.data.files.tables import rows_of_table, three_tables, value
from edgespiral.data.holdout import hold_out
from edgespiral.data.tensors import StoredRows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from edgespiral.core.nested import Tensors
    from edgespiral.data.files.tables import Row

    Parts = tuple[Sequence[Row], Sequence[Row], Sequence[Row]]

OPTIONS = (
    *("target", "is", "positive", "ignore", "categories", "columns", "test", "missing", "unseen"),
)
# Whole numbers of at most so many values are classes where nothing is said, more are numbers.
MOST_CLASSES = 20
NUMBERS, CATEGORIES = "numbers", "categories"
# What pandas calls a column that a head line has no name for, as it has none for a row's number.
UNNAMED = re.compile(r"(Unnamed: \d+(\.\d+)?)?")
# It ships, and says how to make inputs of a row.
DESCRIPTION = "columns.json"


@dataclass(frozen=True)
class Columns:
    """How a row becomes inputs and a target.

    Attributes:
        classes: of the target, in the order of their numbers; None where it is a number itself.
        number: how that is standardised.
        row_numbers: columns that are left out, since they number the rows.
    """

    real: Sequence[RealColumn]
    categories: Sequence[CategoryColumn]
    target: str
    classes: tuple[str, ...] | None
    number: RealColumn | None = None
    row_numbers: tuple[str, ...] = ()

    @property
    def specs(self) -> dict[str, InputSpec]:
        """What each input is."""
        specs = {}
        if self.real:
            specs[NUMBERS] = InputSpec((len(self.real),))
        if self.categories:
            codes = sum(column.count for column in self.categories)
            specs[CATEGORIES] = InputSpec((len(self.categories),), codes, "int64")
        return specs

    @property
    def description(self) -> str:
        """All of it, for who runs the model."""
        facts: dict[str, object] = {
            NUMBERS: [{"column": c.name, "mean": c.mean, "std": c.deviation} for c in self.real],
            CATEGORIES: [
                {"column": c.name, "other": c.first, "from": c.first + 1, "values": c.known}
                for c in self.categories
            ],
            "target": self.target,
            "classes": self.classes,
        }
        if self.number is not None:
            facts |= {"target_mean": self.number.mean, "target_std": self.number.deviation}
        return json.dumps(facts, indent=2, ensure_ascii=False) + "\n"


def load_csv(argument: str) -> DataSplits:
    """`csv:FILE?target=COLUMN`, or a folder with a table for each part: what columns say of one.

    FILE is .csv, .tsv or .jsonl, packed with gzip or not. Of a single file 15 % of the rows, or the
    file `test`, are the test and a tenth of the rest the validation, classes in proportion and the
    same each time. Options: `ignore` and `categories` list columns; `is=number` and `is=class` say
    what the target is; `positive` is the class of two that counts as 1; `columns` names those of a
    file without a head line; `missing=mean`; `unseen=other`.

    A column of which most values are numbers is real, others are categories; one without a name
    that numbers the rows is left out, as they may be sorted by the target. Inputs are `numbers`
    (columns,) float32 and `categories` (columns,) int64, in a dict where there are both. A target
    that is a number is standardised, too: errors are in standard deviations of the training rows.

    Raises:
        UsageError: an option is wrong, or there is no target.
        DataError: a file cannot be read, has no such column, or a value is missing, no number, or a
            category that no training row has; file, line and column are named.
    """
    spec = Argument("csv", argument, OPTIONS)
    if not spec.options.get("target"):
        raise UsageError(
            "does not say which column is to be told",
            where=f"--data {spec.where}",
            hint=f"csv:{spec.path}?target=COLUMN",
        )
    train, validation, test = parts = _parts(spec)
    columns = _columns(spec, train)
    for part in parts:
        if not part:
            raise DataError("has too few rows to hold some out", where=str(spec.path))
    specs = columns.specs
    only = next(iter(specs.values())) if len(specs) == 1 else None
    return DataSplits(
        name=f"csv:{spec.path}",
        train=_source(train, columns),
        validation=_source(validation, columns),
        test=_source(test, columns),
        class_names=columns.classes or (),
        input_shape=() if only is None else only.shape,
        token_count=None if only is None else only.token_count,
        target_shape=None if columns.classes is None else (),
        inputs=specs if only is None else None,
        files={DESCRIPTION: columns.description},
        notes=tuple(
            f"column {name!r} numbers the rows, as pandas writes them, and is left out"
            for name in columns.row_numbers
        ),
    )


def _parts(spec: Argument) -> Parts:
    if spec.path.is_dir():
        if "test" in spec.options:
            what = "is a folder, which has its test rows in a file of its own"
            raise UsageError(what, where=f"--data {spec.where}", hint="leave ?test= out")
        train, *others = (rows_of_table(file, spec) for file in three_tables(spec.path).values())
        if len(others) > 1:
            return train, others[0], others[-1]
        return (*_held_out(spec, train, VALIDATION_PART), others[0])
    whole = rows_of_table(spec.path, spec)
    if "test" in spec.options:
        test = rows_of_table(Path(spec.options["test"]).expanduser(), spec)
        return (*_held_out(spec, whole, VALIDATION_PART), test)
    rest, test = _held_out(spec, whole, TEST_PART)
    return (*_held_out(spec, rest, VALIDATION_PART), test)


def _held_out(spec: Argument, whole: Sequence[Row], part: float) -> tuple[list[Row], list[Row]]:
    """(the rest, about `part` of the rows), classes in proportion."""
    target = spec.options["target"]
    classes = _classes(spec, whole)
    numbers = np.zeros(len(whole), np.int64)
    if classes is not None:
        numbers = np.array([classes.index(value(row, target)) for row in whole], np.int64)
    remaining, held = hold_out(numbers, round(part * len(whole)), where=str(spec.path))
    return [whole[at] for at in remaining], [whole[at] for at in held]


def _require_target(spec: Argument, rows: Sequence[Row]) -> None:
    """Refuse rows without a target, and single ones whose target is not a number as others' are.

    Raises:
        DataError: the first such row is named.
    """
    target = spec.options["target"]
    labels = set(values(rows, target))
    numbers = set(filter(is_number, labels))
    others = {text for text in labels - numbers if not is_missing(text)}
    # `none` may be the name of a class, where others have names too.
    lost = {text for text in labels if not text or (is_missing(text) and not others)}
    if spec.options.get("is") != "class" and len(numbers) > max(MOST_CLASSES, len(others)):
        lost |= others
    for row in rows if lost else ():
        text = value(row, target)
        if text in lost:
            what = "is missing" if is_missing(text) else f"is {text!r}, not a number"
            hint = "take the row away" if is_missing(text) else "mend it; of classes say ?is=class"
            raise DataError(f"{target} {what}", where=row.where, hint=hint)


def _classes(spec: Argument, train: Sequence[Row]) -> tuple[str, ...] | None:
    """The classes of the target, the positive one of two last; None where it is a number."""
    target = spec.options["target"]
    _require_target(spec, train)
    labels = set(values(train, target))
    numeric = all(map(is_number, labels))
    looks_like_class = not numeric or (
        len(labels) <= MOST_CLASSES and all(float(text).is_integer() for text in labels)
    )
    kind = spec.one_of("is", ("", "class", "number"))
    if kind == "number" or not (kind or looks_like_class):
        return None
    names = sorted(labels, key=lambda name: (float(name), name)) if numeric else sorted(labels)
    if numeric:
        _require_one_spelling(names, target, spec.where)
    positive = spec.options.get("positive")
    if positive is None:
        return tuple(names)
    if positive not in names or len(names) != 2:
        has = first_few(names)
        raise DataError(f"{target} is none of two with {positive!r}, but {has}", where=spec.where)
    return tuple(sorted(names, key=lambda name: name == positive))


def _require_one_spelling(names: Sequence[str], target: str, where: str) -> None:
    """Refuse classes that are one number, such as 1 and 1.0.

    Raises:
        DataError: two are.
    """
    for name, other in pairwise(names):
        if float(name) == float(other):
            what = (
                f"{target} is {name!r} in some rows and {other!r} in others, which are one number"
            )
            raise DataError(what, where=where, hint="write each class in one way")


def _columns(spec: Argument, train: Sequence[Row]) -> Columns:
    target = spec.options["target"]
    listed = {
        option: [name.strip() for name in spec.options.get(option, "").split(",") if name.strip()]
        for option in ("ignore", "categories")
    }
    for name in (*listed["ignore"], *listed["categories"]):
        value(train[0], name)
    fills = spec.one_of("missing", ("refused", "mean")) == "mean"
    admits_unseen = spec.one_of("unseen", ("refused", "other")) == "other"
    _require_same_columns(train)
    row_numbers = tuple(
        name
        for name in train[0].values
        if name not in (target, *listed["ignore"], *listed["categories"])
        and _numbers_rows(train, name)
    )
    real: list[RealColumn] = []
    categories: list[CategoryColumn] = []
    for name in train[0].values:
        if name == target or name in (*listed["ignore"], *row_numbers):
            continue
        texts = values(train, name)
        if name not in listed["categories"] and 2 * sum(map(is_number, texts)) > len(texts):
            real.append(RealColumn.of(train, name, fills=fills))
        else:
            first = sum(column.count for column in categories)
            categories_there = tuple(sorted(set(texts)))
            categories.append(CategoryColumn(name, categories_there, first, admits_unseen))
    if not real and not categories:
        raise DataError(f"has no column beside {target}", where=spec.where)
    classes = _classes(spec, train)
    number = RealColumn.of(train, target, fills=False) if classes is None else None
    return Columns(real, categories, target, classes, number, row_numbers)


def _numbers_rows(rows: Sequence[Row], name: str) -> bool:
    """Whether a column has no name and another whole number in each row."""
    if not UNNAMED.fullmatch(name):
        return False
    texts = values(rows, name)
    return len(set(texts)) == len(texts) and all(map(str.isdecimal, texts))


def _require_same_columns(rows: Sequence[Row]) -> None:
    """Refuse a column that the first row has not, which none would be looked at for.

    Raises:
        DataError: another row has one.
    """
    names = rows[0].values.keys()
    for row in rows:
        if row.values.keys() - names:
            more = next(name for name in row.values if name not in names)
            raise DataError(
                f"has a column {more!r}, which {rows[0].where} has not", where=row.where
            )


def _source(part: Sequence[Row], columns: Columns) -> StoredRows:
    inputs: dict[str, Tensor] = {}
    if columns.real:
        inputs[NUMBERS] = _together([column.numbers(part) for column in columns.real])
    if columns.categories:
        inputs[CATEGORIES] = _together([column.codes(part) for column in columns.categories])
    inputs_given: Tensors = inputs if len(inputs) > 1 else next(iter(inputs.values()))
    return StoredRows(inputs_given, _targets(part, columns), [row.where for row in part])


def _together(each: Sequence[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(each, 1))


def _targets(part: Sequence[Row], columns: Columns) -> Tensor:
    """Standardised numbers (N, 1), or classes (N,)."""
    if columns.number is not None:
        return torch.from_numpy(columns.number.numbers(part)[:, None])
    target = columns.target
    number_of = {name: number for number, name in enumerate(columns.classes or ())}
    for row in part:
        if value(row, target) not in number_of:
            what = f"{target} is {value(row, target)!r}, which no training row has"
            raise DataError(what, where=row.where)
    return torch.tensor([number_of[text] for text in values(part, target)])


PLUGIN = load_csv
