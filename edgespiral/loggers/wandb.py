"""Weights & Biases: its server where one is configured, else files of the run folder."""

from __future__ import annotations

import os
from netrc import NetrcParseError, netrc
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

# Reports of its own errors would be sent without anybody having asked for it.
os.environ.setdefault("WANDB_ERROR_REPORTING", "false")

import wandb

from edgespiral.core.system.files import make_folder
from edgespiral.loggers.base import FigureLog

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgespiral.loggers.base import LoggedRun

PROJECT, PROJECT_NAME = "WANDB_PROJECT", "edgespiral"
SERVER, USUAL_SERVER = "WANDB_BASE_URL", "https://api.wandb.ai"
# Any of them says that runs are wanted on a server, or where else.
CONFIGURING = ("WANDB_MODE", "WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE")
TURN = "turn"


class WeightsAndBiases(FigureLog):
    """Writes a W&B run, the same one where the run is gone on with.

    Without a key (`wandb login`) and without `WANDB_MODE` it is offline: `RUN/wandb/` has what
    `wandb sync` sends. Nobody is asked for anything.
    """

    def begin(self, run: LoggedRun) -> None:
        """See `FigureLog.begin`."""
        self._wandb = wandb.init(
            project=os.environ.get(PROJECT) or PROJECT_NAME,
            name=run.name,
            id=run.identity,
            resume="allow",
            dir=make_folder(run.folder),
            config=run.settings,
            mode=None if is_configured() else "offline",
            reinit="create_new",
            settings=wandb.Settings(
                console="off", silent=True, disable_git=True, disable_code=True
            ),
        )
        self._axes: set[str] = set()

    def write(self, figures: Mapping[str, float], step: int, axis: str) -> None:
        """See `FigureLog.write`."""
        counter = f"{axis}/step" if axis else TURN
        for name in figures.keys() - self._axes:
            self._wandb.define_metric(name, step_metric=counter)
        self._axes |= figures.keys()
        self._wandb.log({**figures, counter: step})

    def end(self, run: LoggedRun, error: BaseException | None) -> None:
        """See `FigureLog.end`."""
        if error is None and run.endings:
            artefact = wandb.Artifact(f"run-{run.identity}", type="result")
            for path in run.endings:
                artefact.add_file(str(path))
            self._wandb.log_artifact(artefact)
        self._wandb.finish(exit_code=0 if error is None else 1)


def is_configured() -> bool:
    """Whether the user has said where W&B's runs go: by a variable, or by `wandb login`."""
    if any(os.environ.get(name) for name in CONFIGURING):
        return True
    host = urlsplit(os.environ.get(SERVER) or USUAL_SERVER).hostname or ""
    try:
        return netrc(os.environ.get("NETRC")).authenticators(host) is not None
    except (OSError, NetrcParseError):
        return False


PLUGIN = WeightsAndBiases
