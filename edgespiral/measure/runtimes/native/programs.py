"""The files of a program that the user brings, and what tells one build of it from another."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from edgespiral.core.errors import TargetError

if TYPE_CHECKING:
    import re

    from edgespiral.measure.runtimes.native.settings import NativeSettings


class Programs:
    """A program, pushed along with the libraries that it needs.

    Args:
        tool: what it is called on the device, whatever its file here is called.
        settings: that name its file.
        getting: how to get it, for errors.
        version: what its version looks like in one of the files.
    """

    def __init__(
        self,
        tool: str,
        settings: NativeSettings,
        *,
        getting: str,
        version: re.Pattern[bytes] | None = None,
    ) -> None:
        self._tool, self._settings = tool, settings
        self._getting, self._version_form = getting, version

    def needs(self) -> dict[str, str]:
        """What is pushed, in words, and its version.

        Raises:
            TargetError: a file is missing.
        """
        programs = self.files()
        size_mb = sum(path.stat().st_size for path in programs.values()) / 1e6
        listed = ", ".join(map(str, programs.values()))
        return {"program": f"{listed} ({size_mb:.1f} MB)", "version": self.version()}

    def files(self) -> dict[str, Path]:
        """The program and its libraries by the names that they get on the device.

        Raises:
            TargetError: one of them is missing.
        """
        named = {"binary": [self._settings.binary], "libraries": self._settings.libraries}
        programs: dict[str, Path] = {}
        for key, paths in named.items():
            for text in paths:
                path = Path(text).expanduser()
                if not path.is_file():
                    hint = f"{self._getting} and name the file in the target's [runtime] {key}"
                    raise TargetError(f"no such file: {path}", where=f"runtime.{key}", hint=hint)
                programs[self._tool if key == "binary" else path.name] = path
        return programs

    def version(self) -> str:
        """The version where a file tells it, else what tells one build from another."""
        contents = [path.read_bytes() for path in self.files().values()]
        form = self._version_form
        matches = (
            [match for content in contents for match in form.finditer(content)] if form else []
        )
        digest = hashlib.sha256(b"".join(contents)).hexdigest()[:12]
        return max((match[1].decode() for match in matches), default=f"build {digest}")
