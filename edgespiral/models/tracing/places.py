"""Lines of the user's code, for errors that happen far below them."""

from __future__ import annotations

import inspect
import linecache
import os
import sysconfig
import traceback
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

    from torch import nn

OWN_CODE = (str(Path(torch.__file__).parent), str(Path(__file__).parents[1]))
LIBRARY = sysconfig.get_path("stdlib")
PACKAGES = "site-packages"
SHOWN_CODE = 80


def place_of(error: BaseException) -> tuple[str, str]:
    """File with line, and text, of the user's line at which `error` was raised; or empty."""
    lines = [
        (frame.f_code.co_filename, number)
        for frame, number in traceback.walk_tb(error.__traceback__)
    ]
    own = [(file, line) for file, line in lines if _is_users(file)]
    if not own:
        return "", ""
    file, line = own[-1]
    return _place(file, line), linecache.getline(file, line).strip()[:SHOWN_CODE]


def place_of_frame(frame: FrameType | None) -> str:
    """File with line of the user's innermost call that `frame` is in; or empty."""
    frame = _users_frame(frame)
    return "" if frame is None else _place(frame.f_code.co_filename, frame.f_lineno)


def lines_of(model: nn.Module, words: Sequence[str]) -> list[str]:
    """Each of `words` that a forward of the user's modules has, with the first line that does."""
    places: dict[str, str] = {}
    for kind in dict.fromkeys(type(module) for module in model.modules()):
        try:
            file = inspect.getsourcefile(kind.forward)
            lines, first = inspect.getsourcelines(kind.forward)
        except (OSError, TypeError):
            continue
        if file is None or not _is_users(file):
            continue
        for word in words:
            at = next((n for n, line in enumerate(lines) if word in line.partition("#")[0]), None)
            if at is not None:
                places.setdefault(word, f"{word.rstrip('(')} at {_place(file, first + at)}")
    return list(places.values())


def record_of(frame: FrameType | None) -> str | None:
    """The user's innermost call that `frame` is in, as a traceback has it; None without one."""
    frame = _users_frame(frame)
    return frame and f'File "{frame.f_code.co_filename}", line {frame.f_lineno}'


def _users_frame(frame: FrameType | None) -> FrameType | None:
    while frame is not None and not _is_users(frame.f_code.co_filename):
        frame = frame.f_back
    return frame


def _place(file: str, line: int) -> str:
    _, inside, below = file.rpartition(f"{PACKAGES}{os.sep}")
    if not inside and Path(file).is_relative_to(Path.cwd()):
        below = str(Path(file).relative_to(Path.cwd()))
    return f"{below or file}:{line}"


@cache
def _is_users(file: str) -> bool:
    if file.startswith((*OWN_CODE, "<")):
        return False
    return PACKAGES in file or not file.startswith(LIBRARY)
