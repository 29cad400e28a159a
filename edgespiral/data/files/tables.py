"""Rows of CSV, TSV and JSON Lines files, packed with gzip or not, each with its place."""

from __future__ import annotations

import csv
import io
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgespiral.core.errors import DataError, first_few
from edgespiral.core.system.files import parse_json
from edgespiral.core.text import described, is_text
from edgespiral.data.files import packed
from edgespiral.data.files.parts import VALIDATION_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from edgespiral.data.argument import Argument

FORMS = (".csv", ".tsv", ".jsonl")
MOST_BYTES = 2**30


@dataclass(frozen=True)
class Row:
    """A row by the names of its columns, and where it is: `FILE:line`."""

    values: Mapping[str, str]
    where: str


def is_table(path: Path) -> bool:
    """Whether a file's name says that it is one that `rows` reads."""
    return _form(path) in FORMS


def tables_in(folder: Path) -> list[Path]:
    """The tables that lie in a folder, that of the training part first."""
    tables = sorted(path for path in folder.iterdir() if path.is_file() and is_table(path))
    return sorted(tables, key=lambda path: path.name.partition(".")[0] != "train")


def rows(path: Path, columns: Sequence[str] | None = None) -> list[Row]:
    """The rows of a file, in order.

    Args:
        path: a `.csv`, `.tsv` or `.jsonl` file, or one of these with `.gz`. Fields of `.tsv` are
            taken as they are, with whatever quotes they have.
        columns: names of the columns of a file without a head line.

    Raises:
        DataError: no such file, of another form, not UTF-8, damaged, or a row has more or fewer
            fields than there are columns; the line is named.
    """
    form = _form(path)
    if form not in FORMS:
        what = f"is none of {', '.join(FORMS)}" if path.exists() else "no such file or folder"
        raise DataError(what, where=str(path))
    text = _text(path)
    read = list(_objects(path, text) if form == ".jsonl" else _fields(path, text, form, columns))
    if not read:
        raise DataError("has no rows", where=str(path))
    return read


def rows_of_table(path: Path, spec: Argument) -> list[Row]:
    """`rows`, with the names of columns that the option `columns` has, if it is there."""
    names = spec.options.get("columns")
    return rows(path, None if names is None else [name.strip() for name in names.split(",")])


def three_tables(folder: Path) -> dict[str, Path]:
    """The tables of a folder that are called train, val (or validation) and test, in this order.

    Raises:
        DataError: there is no train, or nothing beside it.
    """
    tables = [path for path in sorted(folder.iterdir()) if is_table(path)]
    by_name = {path.name.partition(".")[0]: path for path in reversed(tables)}
    there = {
        name: by_name[name] for name in ("train", *VALIDATION_NAMES, "test") if name in by_name
    }
    if "train" not in there or len(there) < 2:
        what = f"has no train file ({', '.join(FORMS)}) with a val or test file beside it"
        raise DataError(what, where=str(folder))
    return there


def column(row: Row, names: Sequence[str], option: str) -> str:
    """Which of a row's columns goes by one of `names`, whatever their case.

    Raises:
        DataError: none does; `option` is what names one.
    """
    by_lower = {name.lower(): name for name in row.values}
    column_name = next((by_lower[name] for name in names if name in by_lower), None)
    if column_name is None:
        raise DataError(
            f"which of its columns ({first_few(list(row.values))}) has the {option} is not known",
            where=row.where.rpartition(":")[0],
            hint=f"name it: ?{option}=COLUMN; those of a file without a head line: ?columns=A,B",
        )
    return column_name


def value(row: Row, column: str) -> str:
    """What a row has in a column, without blanks around it.

    Raises:
        DataError: there is no such column.
    """
    if column not in row.values:
        has = first_few(list(row.values))
        raise DataError(f"has no column {column!r}, but {has}", where=row.where)
    return row.values[column].strip()


def _form(path: Path) -> str:
    named = path.with_suffix("") if path.suffix.lower() == packed.SUFFIX else path
    return named.suffix.lower()


def _text(path: Path) -> str:
    try:
        return packed.read_packed(path, MOST_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError("is not text in UTF-8", where=str(path)) from error
    except (OSError, EOFError, ValueError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or described(error)
        raise DataError(f"cannot be read: {reason}", where=str(path)) from error


def _fields(path: Path, text: str, form: str, columns: Sequence[str] | None) -> Iterator[Row]:
    lines = io.StringIO(text, newline="")
    if form == ".csv":
        reader = csv.reader(lines, strict=True)
    else:
        reader = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE, strict=True)
    names = None if columns is None else list(columns)
    _require_different(names or (), str(path))
    try:
        for fields in reader:
            where = f"{path}:{reader.line_num}"
            if names is None:
                names = [name.strip() for name in fields]
                _require_different(names, where)
            elif fields:
                if len(fields) != len(names):
                    what = f"has {len(fields)} fields, and there are {len(names)} columns"
                    raise DataError(what, where=where)
                yield Row(dict(zip(names, fields, strict=True)), where)
    except csv.Error as error:
        raise DataError(f"{error}", where=f"{path}:{reader.line_num}") from error


def _require_different(names: Sequence[str], where: str) -> None:
    twice = next((name for at, name in enumerate(names) if name in names[:at]), None)
    if twice is not None:
        raise DataError(f"has two columns called {twice!r}", where=where)


def _objects(path: Path, text: str) -> Iterator[Row]:
    # Not `splitlines`, which breaks lines at characters that JSON leaves in strings.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            content = parse_json(line)
        except ValueError as error:
            raise DataError(f"is no JSON: {described(error)}", where=where) from error
        if not isinstance(content, dict):
            raise DataError(f"is a {type(content).__name__}, not an object", where=where)
        row = Row({str(key): "" if v is None else str(v) for key, v in content.items()}, where)
        odd = next((t for pair in row.values.items() for t in pair if not is_text(t)), None)
        if odd is not None:
            what = f"has half of a pair of surrogates, which is no text: {odd[:40]!r}"
            raise DataError(what, where=where)
        yield row
