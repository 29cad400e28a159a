"""TensorBoard's event files, in the run folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.utils.tensorboard import SummaryWriter

from edgespiral.loggers.base import FigureLog

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgespiral.loggers.base import LoggedRun

FOLDER = "tensorboard"


class TensorBoard(FigureLog):
    """Writes `RUN/tensorboard/`, which `tensorboard --logdir` shows; nothing is sent anywhere."""

    def begin(self, run: LoggedRun) -> None:
        """See `FigureLog.begin`."""
        self._writer = SummaryWriter(str(run.folder / FOLDER))
        rows = "\n".join(f"| {name} | {value} |" for name, value in run.settings.items())
        self._writer.add_text("plan", f"| | |\n| --- | --- |\n{rows}")

    def write(self, figures: Mapping[str, float], step: int, axis: str) -> None:  # noqa: ARG002
        """See `FigureLog.write`; each curve has an axis of its own here."""
        for name, value in figures.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def end(self, run: LoggedRun, error: BaseException | None) -> None:  # noqa: ARG002
        """See `FigureLog.end`."""
        self._writer.close()


PLUGIN = TensorBoard
