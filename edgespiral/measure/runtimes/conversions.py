"""What was converted, kept while somebody has it, and the latest few longer."""

from __future__ import annotations

import weakref
from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

from edgespiral.core.errors import ModelError
from edgespiral.core.system.temporary import work_folder
from edgespiral.measure.model_files import model_sha256

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from edgespiral.measure.runtimes.module_files import ModuleFiles

    Convert = Callable[["Subject", Path], "Converted"]

LATEST = 8


@dataclass(frozen=True)
class Converted:
    """A model in a runtime's own files.

    Attributes:
        files: by their names on the device, all in one folder.
        about: what an agent has to know of it.
    """

    files: Mapping[str, Path]
    about: Mapping[str, object]


@dataclass(frozen=True)
class Subject:
    """What is converted.

    Attributes:
        model: an ONNX file.
        shapes: of inputs that have no fixed one, by name; "" is the only input.
        module: that it was exported from, for a runtime that needs it.
    """

    model: Path
    shapes: Mapping[str, Sequence[int]]
    module: ModuleFiles | None = None

    def required_module(self, title: str) -> ModuleFiles:
        """The module.

        Args:
            title: what a person calls the runtime.

        Raises:
            ModelError: it is handed none.
        """
        if self.module is None:
            raise ModelError(f"{title} is made of a PyTorch module", where=str(self.model))
        return self.module


class _Conversion:
    """What became of a model, and the folder that it is in, which goes with the last who has it."""

    def __init__(self, convert: Callable[[Path], Converted]) -> None:
        opened = ExitStack()
        weakref.finalize(self, opened.close)
        self.result = convert(opened.enter_context(work_folder()))


class _Cache:
    """The conversions of this process, by what they were made of."""

    def __init__(self) -> None:
        self._all: weakref.WeakValueDictionary[str, _Conversion] = weakref.WeakValueDictionary()
        self._latest: deque[_Conversion] = deque(maxlen=LATEST)
        self._lock = Lock()
        self._making: dict[str, Lock] = {}

    def has(self, key: str) -> bool:
        """Whether somebody has the conversion of `key`."""
        return key in self._all

    def of(self, key: str, convert: Callable[[Path], Converted]) -> _Conversion:
        """The conversion of `key`, made unless somebody has it; others are made meanwhile."""
        with self._lock:
            own = self._making.setdefault(key, Lock())
        with own:
            conversion = self._all.get(key)
            if conversion is None:
                conversion = _Conversion(convert)
            with self._lock:
                self._all[key] = conversion
                self._latest.append(conversion)
                # Whoever waits for it has the lock, and finds the conversion.
                self._making.pop(key, None)
            return conversion


_CACHE = _Cache()


class Conversions:
    """The models that a runtime has had converted, each once while this or another has it.

    Args:
        kind: of files.
        made_by: what a file depends on beside the model; runtimes that have it alike share files.
    """

    def __init__(self, kind: str, made_by: Mapping[str, object]) -> None:
        self._kind, self._made_by = kind, sorted(made_by.items())
        self._own: dict[str, _Conversion] = {}

    def key(self, subject: Subject) -> str:
        """What a model's files are made of."""
        shapes = sorted((name, tuple(shape)) for name, shape in subject.shapes.items())
        module = subject.module.sha256 if subject.module else ""
        return f"{self._kind} {self._made_by} {model_sha256(subject.model)} {module} {shapes}"

    def of(self, subject: Subject, convert: Convert) -> Converted:
        """A model in the runtime's files, which `convert` puts into a folder."""
        key = self.key(subject)
        self._own[key] = _CACHE.of(key, lambda folder: convert(subject, folder))
        return self._own[key].result

    def missing(self, subjects: Sequence[Subject]) -> dict[str, Subject]:
        """Those that nobody has converted, by their keys."""
        keyed = {self.key(subject): subject for subject in subjects}
        return {key: subject for key, subject in keyed.items() if not _CACHE.has(key)}
