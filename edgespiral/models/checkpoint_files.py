"""PyTorch's checkpoints read as tensors and plain values, at a cost that their size bounds."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from edgespiral.core.errors import ModelError, first_few
from edgespiral.core.system.files import is_file

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
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


def shards_of(index: Path) -> list[Path]:
    """The files in which an index says that a model's weights lie, as large ones are saved.

    Args:
        index: `model.safetensors.index.json` or `pytorch_model.bin.index.json`.

    Raises:
        ModelError: it is no such index, or a file is missing.
    """
    try:
        content = json.loads(index.read_bytes())
        names = sorted(set(content["weight_map"].values()))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        what = "is no index of weights: it has no weight_map from names to files"
        raise ModelError(what, where=str(index)) from error
    if not names or not all(isinstance(name, str) and Path(name).name == name for name in names):
        raise ModelError("names files that are not beside it", where=f"{index}:weight_map")
    files = [index.with_name(name) for name in names]
    missing = [file.name for file in files if not is_file(file)]
    if missing:
        hint = "put all files of the model into one folder"
        what = f"names files that are not there: {first_few(missing)}"
        raise ModelError(what, where=str(index), hint=hint)
    return files


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
