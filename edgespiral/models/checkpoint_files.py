"""PyTorch's checkpoints read as tensors and plain values, at a cost that their size bounds."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

from edgespiral.core.system.files import is_file

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from typing import Any

    Inert = Sequence[Callable[..., Any] | tuple[Callable[..., Any], str]]


def read_checkpoint(path: Path, inert: Inert = ()) -> object:
    """What `torch.save` wrote, without running any code of it.

    Args:
        path: the file, whatever its name.
        inert: what to load in the place of classes that the file names.

    Raises:
        ValueError: it is no regular file, or claims to hold more than it is long.
        Exception: whatever damaged bytes make the unpickler raise.
    """
    import torch

    check_archive(path)
    # By what is in the file: torch goes by the name of one that is named.
    with torch.serialization.safe_globals(list(inert)), path.open("rb") as file:
        return torch.load(file, map_location="cpu", weights_only=True)


def check_archive(path: Path) -> None:
    """Refuse an archive that unpacks to more than its own size; PyTorch stores and packs nothing.

    Raises:
        ValueError: it is one, or no regular file.
    """
    if not is_file(path):
        raise ValueError("is not a regular file")
    if not zipfile.is_zipfile(path):
        return  # the format before zip, whose reader takes what there is
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise ValueError("is a compressed archive, which torch.save does not write")
    if sum(member.file_size for member in members) > path.stat().st_size:
        raise ValueError("claims to hold more than it is long")
