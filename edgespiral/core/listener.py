"""What a run tells the person waiting for it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from rich.console import Console


class Listener(Protocol):
    """Hears what a run is doing."""

    def say(self, text: str) -> None:
        """One line worth keeping on the screen."""
        ...

    def steps(self, label: str) -> AbstractContextManager[Callable[[int, int, str], None]]:
        """A bar; call what it yields with (done, total, detail)."""
        ...


class Silent:
    """Hears everything and says nothing: the Python API's default."""

    def say(self, text: str) -> None:
        """See `Listener.say`."""

    @contextmanager
    def steps(self, label: str) -> Iterator[Callable[[int, int, str], None]]:  # noqa: ARG002
        """See `Listener.steps`."""

        def ignore(_done: int, _total: int, _detail: str) -> None:
            return

        yield ignore


class OnConsole:
    """Lines and bars on a rich console."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def say(self, text: str) -> None:
        """See `Listener.say`."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def steps(self, label: str) -> Iterator[Callable[[int, int, str], None]]:
        """See `Listener.steps`."""
        columns = (
            TextColumn("  {task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[detail]}", markup=False),
        )
        hidden = not self._console.is_terminal
        with Progress(*columns, console=self._console, transient=True, disable=hidden) as progress:
            task = progress.add_task(label, total=None, detail="")

            def advance(done: int, total: int, detail: str) -> None:
                progress.update(task, completed=done, total=total, detail=detail)

            yield advance
