"""Texts that go with a model: what its inputs and outputs stand for, such as a vocabulary."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from edgespiral.core.errors import ModelError
from edgespiral.core.system.files import read_bytes, write_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def hashes(files: Mapping[str, str]) -> dict[str, str]:
    """SHA-256 of each text, by name."""
    return {name: hashlib.sha256(text.encode()).hexdigest() for name, text in files.items()}


def write_beside(files: Mapping[str, str], folder: Path) -> None:
    """Write `files`, texts by name, into `folder`, those that are not there as they are.

    Raises:
        RunFolderError: the folder cannot be written.
    """
    for name, text in files.items():
        if _content(folder / name) != text.encode():
            write_text(folder / name, text)


def check_beside(files: Mapping[str, str], weights: Path) -> None:
    """Refuse weights that were trained with other texts than the data now have.

    Args:
        files: texts by name, of the data.
        weights: the file of weights; what lies beside it is what it was trained with.

    Raises:
        ModelError: a file of that name is there and has another content.
    """
    for name, text in files.items():
        beside = _content(weights.parent / name)
        if beside is not None and beside != text.encode():
            raise ModelError(
                f"the weights were trained with another {name}, which lies beside them",
                where=str(weights),
                hint="name the data that they were trained on, with the same options",
            )


def _content(path: Path) -> bytes | None:
    try:
        return read_bytes(path)
    except OSError:
        return None
