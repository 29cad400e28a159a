"""The user's own code, named as `path/to/file.py:factory`."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edgespiral.core.errors import UsageError
from edgespiral.core.system.files import is_file
from edgespiral.core.user_code import user_code

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType


def is_factory(spec: str) -> bool:
    """Whether `spec` names a Python file rather than something built in."""
    return ".py:" in spec or spec.endswith(".py")


def call_factory(spec: str, *, ready: Callable[[object], bool] = lambda _: False) -> object:
    """Import `path/to/file.py:factory` and call the factory without arguments.

    Files beside the named one can be imported by it, as if it were run as a script.

    Args:
        spec: the file and the name in it.
        ready: whether what goes by that name is no factory but what one would make.

    Raises:
        UsageError: no such file or factory, or either fails; the user's own error is named.
    """
    factory = named_in_file(spec)
    if ready(factory):
        return factory
    with user_code(UsageError, "the factory failed", where=spec):
        return factory()


def named_in_file(spec: str) -> Callable[..., object]:
    """What `path/to/file.py:name` names, which can be called.

    Raises:
        UsageError: no such file or name, the file fails, or it cannot be called.
    """
    file, _, name = spec.rpartition(":")
    if not file or not name:
        raise UsageError("no factory named", where=spec, hint="write path/to/file.py:factory")
    factory = getattr(_import_file(Path(file)), name, None)
    if not callable(factory):
        raise UsageError(f"no function {name!r} in the file", where=file)
    return factory  # type: ignore[no-any-return]


def _import_file(path: Path) -> ModuleType:
    if not is_file(path):
        raise UsageError("no such file", where=str(path))
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    loader_spec = importlib.util.spec_from_file_location(path.stem, path.resolve())
    if loader_spec is None or loader_spec.loader is None:
        raise UsageError("not a Python file", where=str(path))
    module = importlib.util.module_from_spec(loader_spec)
    # Classes defined in the file must be found again by name, by data-loader workers among others.
    sys.modules.setdefault(path.stem, module)
    try:
        with user_code(UsageError, "cannot be imported", where=str(path)):
            loader_spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(path.stem, None)
        raise
    return module
