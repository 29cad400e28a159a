"""Which data set a folder or a table is, by what lies in it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgespiral.core.errors import DataError, UsageError
from edgespiral.tasks import DEFAULT

if TYPE_CHECKING:
    from edgespiral.data.sources.base import FileSource

# For data whose kind says nothing, in the order in which they are tried on it.
TRIED_TASKS = (DEFAULT, "segmentation", "binary", "regression", "multilabel")
KINDS_HINT = "docs/data.md has what each kind of data looks like"


def spec_of(source: str) -> str:
    """What `--data` takes for a folder or a table; a spec stays as it is.

    Args:
        source: `folder:photos`, `data.py:load`, `digits`, or the path of a folder or table.

    Raises:
        UsageError: it names nothing, or a table whose target only the user knows.
        DataError: nothing in the folder is of a known kind.

    Example:
        >>> spec_of("digits"), spec_of("folder:photos?size=64")
        ('digits', 'folder:photos?size=64')
    """
    from edgespiral.data.catalog import check_name

    path = Path(source)
    if path.is_dir():
        return f"{_kind_of_folder(path)}:{source}"
    if path.is_file() and path.suffix != ".py":
        return _spec_of_table(path, source)
    if path.parent != Path() and ":" not in source:
        raise DataError("no such file or folder", where=source)
    try:
        check_name(source)
    except UsageError as error:
        raise UsageError(f"{error.what}, and no such file or folder", hint=error.hint) from error
    return source


def task_of(spec: str) -> str | None:
    """The task of a kind of data, where the kind has one."""
    name = spec.partition(":")[0]
    return next((source.task for kind, source in _kinds() if kind == name), None)


def _kinds() -> list[tuple[str, FileSource]]:
    """The sources that know their own files, with their names, those to ask first at the front.

    Raises:
        UsageError, MissingExtraError: a source cannot be imported.
    """
    from edgespiral.data.sources import SOURCES
    from edgespiral.data.sources.base import FileSource

    sources = [(name, SOURCES.get(name)) for name in SOURCES.names()]
    kinds = [(name, source) for name, source in sources if isinstance(source, FileSource)]
    return sorted(kinds, key=lambda kind: kind[1].order)


def _kind_of_folder(folder: Path) -> str:
    from edgespiral.data.files.tables import tables_in

    for kind, source in _kinds():
        if source.fits is not None and source.fits(folder):
            return kind
    tables = tables_in(folder)
    if tables:
        return _kind_of_table(tables[0])
    raise DataError(
        "holds no pictures, sounds or tables of a known kind", where=str(folder), hint=KINDS_HINT
    )


def _spec_of_table(path: Path, source: str) -> str:
    from edgespiral.data.files.tables import FORMS, is_table

    if not is_table(path):
        what = f"is no table ({', '.join(FORMS)}) and no folder"
        raise DataError(what, where=source, hint=KINDS_HINT)
    return f"{_kind_of_table(path)}:{source}"


def _kind_of_table(path: Path) -> str:
    """The kind of a table, by the names of its columns.

    Raises:
        UsageError: it is a `csv`, whose target has to be named.
    """
    from edgespiral.data.files.tables import rows

    columns = list(rows(path)[0].values)
    names = {name.lower() for name in columns}
    for kind, source in _kinds():
        if source.columns and all(names & set(group) for group in source.columns):
            return kind
    place = path.parent if path.name.partition(".")[0] == "train" else path
    raise UsageError(
        "which column is to be told from the others is not said",
        where=str(path),
        hint=f"give --data 'csv:{place}?target=COLUMN', of {', '.join(columns)}",
    )
