"""Changing a target's file and nothing else in it: comments, order and spelling stay."""

from __future__ import annotations

from pathlib import Path

import tomlkit
from tomlkit.exceptions import TOMLKitError

from edgespiral.core.config import settings_text
from edgespiral.core.errors import RunFolderError, UsageError
from edgespiral.core.system.files import make_folder, write_text
from edgespiral.core.text import described
from edgespiral.measure.profile import PROFILES


def keep_channel_multiple(name_or_path: str, multiple: int) -> Path:
    """Write a target's `device.channel_multiple`, and return the file that has it now.

    That is the target's own file, or a copy in `./targets` of one that came with EdgeSpiral, which
    takes its place from then on.

    Raises:
        UsageError: there is no such target, or its file is not TOML.
        RunFolderError: the file cannot be written.
    """
    source = PROFILES.path_of(name_or_path)
    text = settings_text(source)
    try:
        content = tomlkit.parse(text)
    except (TOMLKitError, RecursionError, ValueError) as error:
        raise UsageError(
            f"cannot be read as TOML: {described(error)}", where=str(source)
        ) from error
    if "device" not in content:
        content["device"] = tomlkit.table()
    content["device"]["channel_multiple"] = multiple
    goal = Path(PROFILES.folder) / source.name if PROFILES.is_bundled(source) else source
    hint = "check the permissions of the folder and the free space"
    try:
        make_folder(goal.parent)
        write_text(goal, tomlkit.dumps(content))
    except RunFolderError as error:
        raise RunFolderError(error.what, where=str(goal), hint=hint) from error
    return goal
