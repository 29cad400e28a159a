"""What a run tells whoever waits for it: a person at a console, a log, a program."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from rich.console import Console

    from edgespiral.core.records.events import Event
    from edgespiral.core.records.journal import Journal


@dataclass(frozen=True)
class TrainingProgress:
    """How far the training of a student is.

    Attributes:
        label: what is trained for, such as `distilling`.
        step: how many steps are done.
        steps: how many there are.
        loss: a running mean.
        learning_rate: of the last step; None where a loop of the user's has its own.
        samples_per_s: training samples a second.
    """

    label: str
    step: int
    steps: int
    loss: float
    learning_rate: float | None
    samples_per_s: float


class Listener:
    """Hears what a run is doing; this one does nothing with it.

    Subclass it, override what you want to hear, and hand one to `compress(..., listener=...)`, or
    name a function that makes one by `--log path/to/file.py:make`. What a listener raises does not
    end a run: one warning is given, and it hears nothing more. All is heard in the run's process,
    which waits for it: whatever takes long, such as a network, belongs in a thread.

    Example:
        >>> import edgespiral
        >>> class Latencies(edgespiral.Listener):
        ...     def record_written(self, record):
        ...         if record.kind == "turn-finished":
        ...             print(record.turn, record.devices[0].measurement.stats.p50_ms)
    """

    def run_opened(self, folder: Path, records: Sequence[Event]) -> None:
        """A run begins, or is gone on with.

        Args:
            folder: of the run.
            records: that its journal has by now, the first of which is `run-started`.
        """

    def say(self, text: str) -> None:
        """One line worth keeping on a screen."""

    @contextmanager
    def steps(self, label: str) -> Iterator[Callable[[int, int, str], None]]:  # noqa: ARG002
        """Something that takes a while; call what it yields with (done, total, detail)."""

        def ignore(_done: int, _total: int, _detail: str) -> None:
            return

        yield ignore

    def training_progressed(self, progress: TrainingProgress) -> None:
        """Ten more steps of a training are done, or its last ones."""

    def record_written(self, record: Event) -> None:
        """The journal has one more record (docs/records.md), which is on the disk by now."""

    def run_closed(self, error: BaseException | None) -> None:
        """The run has ended, and its files are written, or it stops with an error.

        Args:
            error: `KeyboardInterrupt` after Ctrl-C; None where the run came to an outcome.
        """


class Silent(Listener):
    """Hears everything and says nothing: the Python API's default."""


class OnConsole(Listener):
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


def say_all(listener: Listener, lines: Iterable[str]) -> None:
    """Say several lines, one after the other."""
    for line in lines:
        listener.say(line)


@contextmanager
def heard(listener: Listener, folder: Path, journal: Journal) -> Iterator[None]:
    """Tell a listener that a run is opened, of each record of its journal, and how it is closed."""
    listener.run_opened(folder, journal.read())
    journal.hears = listener.record_written
    try:
        yield
    except BaseException as error:
        listener.run_closed(error)
        raise
    listener.run_closed(None)
