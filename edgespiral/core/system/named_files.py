"""TOML files that go by name: the user's own first, then those that come with EdgeSpiral."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from edgespiral.core.config import load_toml_model
from edgespiral.core.errors import UsageError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

M = TypeVar("M", bound="BaseModel")


@dataclass(frozen=True)
class NamedFiles:
    """TOML files of one kind.

    Args:
        kind: what one is called in messages.
        folder: their folder in the current one; the bundled ones lie in `edgespiral/_FOLDER`.
        variable: an environment variable with further folders, separated like `$PATH`.
    """

    kind: str
    folder: str
    variable: str

    def load(
        self, name_or_path: str | Path, model: type[M], context: Mapping[str, object] | None = None
    ) -> M:
        """The record of a name, or of a path that ends in `.toml` or has a `/` in it.

        `context` is handed to the record's validators.

        Raises:
            UsageError: no such file, with the nearest names; or all problems of the file.
        """
        spec = str(name_or_path)
        path = self.path_of(spec)
        record = load_toml_model(path, model, context)
        name = getattr(record, "name", spec)
        if name != spec and not _is_path(spec):
            raise UsageError(f"must be {spec!r} like the file, is {name!r}", where=f"{path}:name")
        return record

    def path_of(self, spec: str) -> Path:
        """The file of a name, or of a path.

        Raises:
            UsageError: nothing has that name, with the nearest that exist.
        """
        if _is_path(spec):
            return Path(spec)
        paths = self.by_name()
        if spec not in paths:
            raise unknown_name(self.kind, spec, paths)
        return paths[spec]

    def is_bundled(self, path: Path) -> bool:
        """Whether the file came with EdgeSpiral."""
        return path.parent == self._bundled

    def by_name(self) -> dict[str, Path]:
        """The file of every name, sorted; the first folder that has one wins."""
        last_first = [
            path for folder in reversed(self._folders()) for path in folder.glob("*.toml")
        ]
        return dict(sorted({path.stem: path for path in last_first}.items()))

    def _folders(self) -> list[Path]:
        listed = os.environ.get(self.variable, "").split(os.pathsep)
        return [Path(self.folder), *(Path(folder) for folder in listed if folder), self._bundled]

    @property
    def _bundled(self) -> Path:
        return Path(str(files("edgespiral") / f"_{self.folder}"))


def _is_path(spec: str) -> bool:
    return spec.endswith(".toml") or "/" in spec or os.sep in spec
