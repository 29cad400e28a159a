"""Which data set a folder or a table is, by what lies in it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgespiral.core.errors import DataError, UsageError
from edgespiral.tasks import DEFAULT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# A part's folder, a class's and the file: deeper nothing is looked for.
DEEPEST = 3
# Of the kinds that say more than a class a sample; of all others the metric is a share.
TASKS = {
    "masks": "segmentation",
    "voc": "detection",
    "coco": "detection",
    "yolo": "detection",
    "speech": "keyword-spotting",
    "transcripts": "speech-recognition",
    "ratings": "recommendation",
}
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
    check_name(source)
    return source


def task_of(spec: str) -> str | None:
    """The task of a kind of data, where the kind has one."""
    return TASKS.get(spec.partition(":")[0])


def _kind_of_folder(folder: Path) -> str:
    for kind, is_there in _KINDS.items():
        if is_there(folder):
            return kind
    tables = _tables(folder)
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
    from edgespiral.data.sources import ratings, text, transcripts

    columns = list(rows(path)[0].values)
    names = {name.lower() for name in columns}
    for kind, needed in {
        "transcripts": (transcripts.FILE_NAMES, transcripts.TEXT_NAMES),
        "text": (text.TEXT_NAMES, text.LABEL_NAMES),
        "ratings": (ratings.USER_NAMES, ratings.ITEM_NAMES, ratings.TIME_NAMES),
    }.items():
        if all(names & set(some) for some in needed):
            return kind
    place = path.parent if path.name.partition(".")[0] == "train" else path
    raise UsageError(
        "which column is to be told from the others is not said",
        where=str(path),
        hint=f"give --data 'csv:{place}?target=COLUMN', of {', '.join(columns)}",
    )


def _tables(folder: Path) -> list[Path]:
    from edgespiral.data.files.tables import is_table

    tables = sorted(path for path in folder.iterdir() if path.is_file() and is_table(path))
    return sorted(tables, key=lambda path: path.name.partition(".")[0] != "train")


def _has(folder: Path, suffixes: Iterable[str], pattern: str = "*") -> bool:
    """Whether a file of one of `suffixes` lies in the folder, or a little below it."""
    depths = ("/".join(["*"] * depth + [pattern]) for depth in range(DEEPEST))
    wanted = {suffix.lower() for suffix in suffixes}
    return any(
        path.suffix.lower() in wanted and path.is_file()
        for depth in depths
        for path in folder.glob(depth)
    )


def _is_masks(folder: Path) -> bool:
    return (folder / "classes.txt").is_file() and any(
        (place / "images").is_dir() and (place / "masks").is_dir()
        for place in (folder, folder / "train")
    )


def _is_yolo(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("data.yaml", "data.yml")) or (
        any((folder / place).is_dir() for place in ("labels", "train/labels"))
        and (folder / "classes.txt").is_file()
    )


def _is_coco(folder: Path) -> bool:
    return any(_has(folder / place, (".json",)) for place in ("annotations", "train"))


def _is_voc(folder: Path) -> bool:
    return _has(folder, (".xml",))


def _is_speech(folder: Path) -> bool:
    return _has(folder, (".wav",)) and not _tables(folder)


def _is_pictures(folder: Path) -> bool:
    from edgespiral.data.boxes.files import PICTURE_FORMS

    return _has(folder, PICTURE_FORMS) and not _tables(folder)


# In this order: pictures lie beside what the others are known by.
_KINDS: dict[str, Callable[[Path], bool]] = {
    "masks": _is_masks,
    "yolo": _is_yolo,
    "coco": _is_coco,
    "voc": _is_voc,
    "speech": _is_speech,
    "folder": _is_pictures,
}
