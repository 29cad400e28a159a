"""What there is of memory, disk, GPUs and programs on this machine."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from edgespiral.core.errors import EdgeSpiralError, RunFolderError
from edgespiral.core.system.files import user_cache
from edgespiral.core.text import shortened
from edgespiral.measure.targets.check import CheckLine

if TYPE_CHECKING:
    from collections.abc import Iterator

# PyTorch and ONNX Runtime side by side take most of the first; a run of a large network keeps
# several models and samples of each.
FEW_BYTES = 2 * 2**30
# What reaches devices, and the targets that need it.
PROGRAMS = {
    "ssh": "targets behind ssh",
    "adb": "Android devices (the extra android brings one)",
    "git": "bench --against-ref",
}


def memory_lines() -> Iterator[CheckLine]:
    """How much memory there is to be had."""
    import psutil

    memory = psutil.virtual_memory()
    few = memory.available < FEW_BYTES
    advice = (
        "stop other programs, or use smaller batches (--batch-size, --accumulate)" if few else ""
    )
    value = f"{_gigabytes(memory.available)} of {_gigabytes(memory.total)} free"
    yield CheckLine("memory", value, not few, advice)


def training_device_lines() -> Iterator[CheckLine]:
    """What students would be trained on."""
    import torch

    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    devices = (
        ", ".join(names) or f"this processor (threads: {torch.get_num_threads()}); no CUDA GPU"
    )
    yield CheckLine("training", devices)


def folders() -> dict[str, Path]:
    """Folders that a run writes to, by what is written there."""
    return {
        "runs": Path("runs"),
        "caches": user_cache("latency"),
        "temporary files": Path(tempfile.gettempdir()),
    }


def folder_lines(purpose: str, folder: Path) -> Iterator[CheckLine]:
    """Whether a folder, or the one that it would be made in, can be written to, and its free space.

    Raises:
        RunFolderError: it cannot.
    """
    place = folder.absolute()
    try:
        while not _is_taken(place):
            place = place.parent
        is_usable = place.is_dir() and os.access(place, os.W_OK | os.X_OK)
    except OSError as error:
        what = f"{shortened(str(place), 100)} cannot be looked at: {error.strerror}"
        raise RunFolderError(what, where=purpose) from error
    if not is_usable:
        raise RunFolderError(f"{place} cannot be written to", where=purpose)
    free = shutil.disk_usage(place).free
    advice = "free some space, or name another place" if free < FEW_BYTES else ""
    yield CheckLine(purpose, f"{folder}, {_gigabytes(free)} free", not advice, advice)


def _is_taken(place: Path) -> bool:
    """Whether something has this name, be it a link that leads nowhere.

    Raises:
        OSError: nothing can have it.
    """
    try:
        place.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def program_lines() -> Iterator[CheckLine]:
    """Which programs that reach devices are there."""
    for name, use in PROGRAMS.items():
        yield CheckLine(name, shutil.which(name) or f"not there; needed for {use}")


def target_file_lines() -> Iterator[CheckLine]:
    """How many targets go by name, and those of them whose file is wrong."""
    from edgespiral.measure.profile import list_profiles, load_profile

    names = list_profiles()
    yield CheckLine("targets", f"{len(names)} by name: {', '.join(names)}")
    for name in names:
        try:
            load_profile(name, as_written=True)
        except EdgeSpiralError as error:
            yield CheckLine(f"target {name}", str(error), ok=False)


def _gigabytes(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"
