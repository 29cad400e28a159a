"""Several that hear of one run, of whom none but the first can end it."""

from __future__ import annotations

import logging
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, cast

from edgespiral.core.errors import EdgeSpiralError, UsageError
from edgespiral.core.factory import call_factory, is_factory, named_in_file
from edgespiral.core.listener import Listener, OnConsole, Silent
from edgespiral.core.user_code import user_code
from edgespiral.loggers import LOGGERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from edgespiral.core.listener import TrainingProgress
    from edgespiral.core.records.events import Event

FLAG = "--log"


def check_logs(names: Sequence[str]) -> None:
    """Refuse logs that cannot be written, before anything else is done.

    Raises:
        UsageError: one is unknown, named twice or in no file.
        MissingExtraError: its program's client is not installed.
    """
    for at, name in enumerate(names):
        if name in names[:at]:
            raise UsageError(f"{name} is named twice", where=FLAG)
        if is_factory(name):
            named_in_file(name)
        else:
            LOGGERS.get(name)


def on_console(console: OnConsole, logs: Sequence[str]) -> Listener:
    """A console, and logs by name beside it; a log that fails is told of there.

    Args:
        console: hears everything first.
        logs: names of `LOGGERS`, or `path/to/file.py:make` of one's own.

    Raises:
        UsageError, MissingExtraError: as `check_logs`, or a log cannot be begun.
    """
    return Several(console, *_logs(logs, lambda text: console.say(f"  {text}")))


def in_program(listener: Listener | None, logs: Sequence[str]) -> Listener:
    """A program's own listener, and logs by name beside it; one that fails is told of by `logging`.

    Raises:
        UsageError, MissingExtraError: as `on_console`.
    """
    warn = logging.getLogger("edgespiral").warning
    own = Guarded(listener, type(listener).__name__, warn) if listener else Silent()
    return Several(own, *_logs(logs, warn))


class Several(Listener):
    """Hands on what it hears to several listeners, one after the other."""

    def __init__(self, *listeners: Listener) -> None:
        self._listeners = listeners

    def run_opened(self, folder: Path, records: Sequence[Event]) -> None:
        """See `Listener.run_opened`."""
        for listener in self._listeners:
            listener.run_opened(folder, records)

    def say(self, text: str) -> None:
        """See `Listener.say`."""
        for listener in self._listeners:
            listener.say(text)

    @contextmanager
    def steps(self, label: str) -> Iterator[Callable[[int, int, str], None]]:
        """See `Listener.steps`."""
        with ExitStack() as opened:
            each = [opened.enter_context(listener.steps(label)) for listener in self._listeners]

            def advance(done: int, total: int, detail: str) -> None:
                for one_advance in each:
                    one_advance(done, total, detail)

            yield advance

    def training_progressed(self, progress: TrainingProgress) -> None:
        """See `Listener.training_progressed`."""
        for listener in self._listeners:
            listener.training_progressed(progress)

    def record_written(self, record: Event) -> None:
        """See `Listener.record_written`."""
        for listener in self._listeners:
            listener.record_written(record)

    def run_closed(self, error: BaseException | None) -> None:
        """See `Listener.run_closed`."""
        for listener in self._listeners:
            listener.run_closed(error)


class Guarded(Listener):
    """A listener of others' making: one that raises is warned of once, and hears nothing more.

    Args:
        listener: may lack methods that it has no use for.
        name: what the warning calls it.
        warn: takes the warning, a line.
    """

    def __init__(self, listener: object, name: str, warn: Callable[[str], None]) -> None:
        self._listener: object | None = listener
        self._name, self._warn = name, warn

    def run_opened(self, folder: Path, records: Sequence[Event]) -> None:
        """See `Listener.run_opened`."""
        self._tell("run_opened", folder, records)

    def say(self, text: str) -> None:
        """See `Listener.say`."""
        self._tell("say", text)

    @contextmanager
    def steps(self, label: str) -> Iterator[Callable[[int, int, str], None]]:
        """See `Listener.steps`."""
        context = cast("AbstractContextManager[object] | None", self._tell("steps", label))
        advance = None if context is None else self._guarded(context.__enter__)

        def advanced(done: int, total: int, detail: str) -> None:
            if callable(advance):
                self._guarded(advance, done, total, detail)

        try:
            yield advanced
        finally:
            if context is not None:
                self._guarded(context.__exit__, None, None, None)

    def training_progressed(self, progress: TrainingProgress) -> None:
        """See `Listener.training_progressed`."""
        self._tell("training_progressed", progress)

    def record_written(self, record: Event) -> None:
        """See `Listener.record_written`."""
        self._tell("record_written", record)

    def run_closed(self, error: BaseException | None) -> None:
        """See `Listener.run_closed`."""
        self._tell("run_closed", error)

    def _tell(self, method: str, *arguments: object) -> object:
        hears = getattr(self._listener, method, None)
        return None if hears is None else self._guarded(hears, *arguments)

    def _guarded(self, hears: Callable[..., object], *arguments: object) -> object:
        if self._listener is None:
            return None
        try:
            with user_code(UsageError, getattr(hears, "__name__", "it")):
                return hears(*arguments)
        except EdgeSpiralError as error:
            self._listener = None
            self._warn(
                f"warning: the log {self._name} fails, and the run goes on without it: {error}"
            )
        return None


def _logs(names: Sequence[str], warn: Callable[[str], None]) -> list[Guarded]:
    check_logs(names)
    return [Guarded(_log(name), name, warn) for name in names]


def _log(name: str) -> object:
    if not is_factory(name):
        return LOGGERS.get(name)()
    listener = call_factory(name, ready=lambda named: isinstance(named, Listener))
    if not isinstance(listener, Listener):
        raise UsageError(
            f"a {type(listener).__name__} is no edgespiral.Listener",
            where=f"{FLAG} {name}",
            hint="name a function that makes one, or the class itself",
        )
    return listener
