"""MLflow's tracking: the server that `MLFLOW_TRACKING_URI` names, else a file of the run folder."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

# Its own statistics of use would be sent without anybody having asked for it.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")

import mlflow
from mlflow.entities import Metric, Param, RunStatus

from edgespiral.core.records.schema import now_utc
from edgespiral.loggers.base import FigureLog

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from edgespiral.loggers.base import LoggedRun

DATABASE, ARTEFACTS = "mlflow.db", "mlruns"
EXPERIMENT, EXPERIMENT_NAME = "MLFLOW_EXPERIMENT_NAME", "edgespiral"
IDENTITY = "edgespiral.run"
# What a server stores of a parameter.
LONGEST_PARAMETER = 500


class Mlflow(FigureLog):
    """Writes an MLflow run, the same one where the run is gone on with."""

    def begin(self, run: LoggedRun) -> None:
        """See `FigureLog.begin`."""
        configured_uri = tracking_uri()
        uri = f"sqlite:///{run.folder / DATABASE}" if configured_uri is None else configured_uri
        self._client = mlflow.MlflowClient(uri)
        experiment = self._experiment(run.folder / ARTEFACTS if configured_uri is None else None)
        same = self._client.search_runs([experiment], f"tags.`{IDENTITY}` = '{run.identity}'")
        if same:
            self._run_id: str = same[0].info.run_id
            self._client.update_run(self._run_id, RunStatus.to_string(RunStatus.RUNNING))
            return
        tags = {IDENTITY: run.identity}
        entry = self._client.create_run(experiment, run_name=run.name, tags=tags)
        self._run_id = entry.info.run_id
        settings = run.settings.items()
        params = [Param(name, value[:LONGEST_PARAMETER]) for name, value in settings]
        self._client.log_batch(self._run_id, params=params)

    def write(self, figures: Mapping[str, float], step: int, axis: str) -> None:  # noqa: ARG002
        """See `FigureLog.write`; each curve has an axis of its own here."""
        now_ms = round(now_utc().timestamp() * 1000)
        points = [Metric(name, value, now_ms, step) for name, value in figures.items()]
        self._client.log_batch(self._run_id, points)

    def end(self, run: LoggedRun, error: BaseException | None) -> None:
        """See `FigureLog.end`."""
        for path in run.endings if error is None else []:
            self._client.log_artifact(self._run_id, str(path))
        stopped = RunStatus.KILLED if isinstance(error, KeyboardInterrupt) else RunStatus.FAILED
        status = RunStatus.FINISHED if error is None else stopped
        self._client.set_terminated(self._run_id, RunStatus.to_string(status))

    def _experiment(self, artefacts: Path | None) -> Any:  # noqa: ANN401 (as the client has it)
        name = os.environ.get(EXPERIMENT) or EXPERIMENT_NAME
        existing = self._client.get_experiment_by_name(name)
        if existing is not None:
            return existing.experiment_id
        place = None if artefacts is None else artefacts.as_uri()
        return self._client.create_experiment(name, artifact_location=place)


def tracking_uri() -> str | None:
    """Where the user has MLflow's runs go, by its variable or in Python."""
    return mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else None


PLUGIN = Mlflow
