"""The `data.yaml` that says what a data set in YOLO's format has, and where."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.core.errors import DataError, MissingExtraError
from edgespiral.core.system.files import read_text
from edgespiral.core.user_code import user_code

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def described_in(file: Path) -> Mapping[str, object]:
    """The content of a file.

    Raises:
        MissingExtraError: PyYAML is not installed.
        DataError: it cannot be read, or is no mapping.
    """
    try:
        import yaml
    except ImportError:
        raise MissingExtraError("reading data.yaml", "detection") from None
    with user_code(DataError, "cannot be read", where=str(file)):
        content = yaml.safe_load(read_text(file))
    if not isinstance(content, dict):
        raise DataError("is not a mapping with names, train and val", where=str(file))
    return content


def names_in(described: Mapping[str, object], file: Path) -> list[str]:
    """The names of the classes, by number.

    Raises:
        DataError: there are none, or numbers are left out.
    """
    names = described.get("names")
    if isinstance(names, dict) and all(number in names for number in range(len(names))):
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list) or not names:
        what = "names is not a list of classes, or a mapping of them from 0"
        raise DataError(what, where=str(file))
    # YAML takes `no` for false, and an alias may stand for a list of a million lists.
    odd = next((at for at, name in enumerate(names) if type(name) not in (str, int)), None)
    if odd is not None:
        kind = type(names[odd]).__name__
        raise DataError(f"the name of class {odd} is a {kind}", where=str(file), hint="quote it")
    return [str(name) for name in names]
