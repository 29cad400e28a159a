"""What a process has only one of, and gets back after somebody else's code has run.

A user's file may change the working folder, PyTorch's defaults or what a signal does, as scripts
do. Our own relative paths, tensors and cleaning up are not to follow it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgespiral.core.system.stopping import SIGNALS

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class _Theirs:
    """What is so while somebody else's code runs.

    Attributes:
        folder: where it was when it last ended, if that is not where we are.
        runs: whether it runs now, in this process or, of a worker, in the one that forked it.
    """

    folder: str | None = None
    runs: bool = False


_THEIRS = _Theirs()


def usable_cores() -> int:
    """How many cores this process may use, which can be fewer than the machine has."""
    own = getattr(os, "sched_getaffinity", None)
    return len(own(0)) if own is not None else (os.cpu_count() or 1)


@contextmanager
def kept_state() -> Iterator[None]:
    """Run somebody else's code inside, and set back what it changed for the whole process.

    These are the standard streams, `sys.argv`, what signals do, warnings made errors, and PyTorch's
    default kind of number, default device and recording of gradients. A working folder that such
    code went to is its own again when it runs next, and only then. Inside another such context
    this one does nothing.
    """
    if _THEIRS.runs:
        yield
        return
    before, folder = _State.now(), _here()
    _go_to(_THEIRS.folder)
    _THEIRS.runs = True
    try:
        yield
    finally:
        _THEIRS.runs = False
        before.restore()
        left_in = _here()
        _THEIRS.folder = None if left_in == folder else left_in
        _go_to(folder if left_in != folder else None)


@dataclass(frozen=True)
class _State:
    """What is set back, as it was; of PyTorch only where it was imported."""

    streams: tuple[Any, Any]
    arguments: tuple[list[str], list[str]]
    handlers: dict[signal.Signals, Any]
    filters: list[Any]
    defaults: _TorchDefaults

    @classmethod
    def now(cls) -> _State:
        return cls(
            (sys.stdout, sys.stderr),
            (sys.argv, list(sys.argv)),
            {number: signal.getsignal(number) for number in SIGNALS},
            list(warnings.filters),
            _TorchDefaults.now(),
        )

    def restore(self) -> None:
        sys.stdout, sys.stderr = self.streams
        sys.argv, words = self.arguments
        sys.argv[:] = words
        self._restore_handlers()
        self._restore_filters()
        self.defaults.restore()

    def _restore_filters(self) -> None:
        now = list(warnings.filters)
        if now != self.filters:
            new = [entry for entry in now if entry not in self.filters and entry[0] != "error"]
            warnings.filters[:] = new + self.filters  # type: ignore[index]

    def _restore_handlers(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        for number, handler in self.handlers.items():
            # One that was set by other than Python's means cannot be set again by these.
            if handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)


@dataclass(frozen=True)
class _TorchDefaults:
    """PyTorch's own settings; as it has them from the start where it was not imported yet."""

    kind: Any = None
    device: Any = None
    records_gradients: bool = True

    @classmethod
    def now(cls) -> _TorchDefaults:
        torch = sys.modules.get("torch")
        if torch is None:
            return cls()
        kind, device = torch.get_default_dtype(), torch.get_default_device()
        return cls(kind, device, torch.is_grad_enabled())

    def restore(self) -> None:
        torch = sys.modules.get("torch")
        if torch is None:
            return
        kind, device = self.kind or torch.float32, self.device or torch.device("cpu")
        if torch.get_default_dtype() != kind:
            torch.set_default_dtype(kind)
        if torch.get_default_device() != device:
            torch.set_default_device(None if device.type == "cpu" else device)
        if torch.is_grad_enabled() != self.records_gradients:
            torch.set_grad_enabled(self.records_gradients)


def _here() -> str | None:
    """The working folder; None where it is gone."""
    try:
        return os.getcwd()  # noqa: PTH109 (a path is slower, and this is done for every batch)
    except OSError:
        return None


def _go_to(folder: str | None) -> None:
    if folder is not None:
        with suppress(OSError):
            os.chdir(folder)
