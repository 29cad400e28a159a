"""Each program's own client writes a run, and what it wrote is read back."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgespiral.core.listener import TrainingProgress
from edgespiral.loggers import LOGGERS

CONFIGURING = ("MLFLOW_TRACKING_URI", "WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL", "NETRC")


@pytest.fixture(autouse=True)
def _not_configured(monkeypatch, tmp_path):
    for name in CONFIGURING:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


def written(name, records, folder, error=None):
    """A run as the log `name` has it, gone on with once."""
    half = len(records) // 2
    for heard, later, ending in ((records[:1], records[1:half], KeyboardInterrupt()),
                                 (records[:half], records[half:], error)):  # fmt: skip
        log = LOGGERS.get(name)()
        log.run_opened(folder, heard)
        for record in later:
            log.record_written(record)
        for step in (10, 20):
            log.training_progressed(TrainingProgress("distilling", step, 20, 1 / step, 0.1, 9.0))
        (folder / "result.json").write_text("{}")
        log.run_closed(ending)


def test_tensorboard_reads_its_event_files_back(records, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    written("tensorboard", records, tmp_path)
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    latencies = events.Scalars("latency_ms/host-cpu")
    assert {(point.step, point.value) for point in latencies} == {(0, 8.0), (1, 6.0), (2, 4.0)}
    losses = events.Scalars("training/turn-02/distilling/loss")
    assert [point.step for point in losses] == [10, 20]
    assert [point.value for point in losses] == pytest.approx([0.1, 0.05])
    assert "plan/text_summary" in events.Tags()["tensors"]


def test_mlflow_has_one_run_where_the_user_has_configured_it(records, tmp_path, monkeypatch):
    from edgespiral.loggers.mlflow import tracking_uri

    # Without this a database of the run folder is made, whose tables take MLflow ten seconds.
    assert tracking_uri() is None
    uri = (tmp_path / "kept").as_uri()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    written("mlflow", records, tmp_path)
    import mlflow

    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    client = mlflow.MlflowClient(uri)
    (experiment,) = client.search_experiments(filter_string="name = 'edgespiral'")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.info.run_name == tmp_path.name
    assert run.data.params["speedup"] == "2.0"
    assert run.data.metrics["latency_ms/host-cpu"] == 4.0
    steps = client.get_metric_history(run.info.run_id, "validation/word error")
    assert {(point.step, point.value) for point in steps} == {(0, 90.0), (1, 89.0), (2, 88.5)}
    assert [file.path for file in client.list_artifacts(run.info.run_id)] == ["result.json"]


def test_wandb_is_offline_where_nobody_has_configured_it(records, tmp_path):
    import wandb as client

    from edgespiral.loggers import wandb

    assert not wandb.is_configured()
    written("wandb", records, tmp_path)
    client.teardown()  # Its own process writes the last of a run after it has said that it is done.
    assert os.environ["WANDB_ERROR_REPORTING"] == "false"
    kept = sorted((tmp_path / "wandb").glob("offline-run-*/run-*.wandb"))
    assert len(kept) == 2  # of one run: `wandb sync` puts them together by its name
    assert len({path.name for path in kept}) == 1
    content = b"".join(map(Path.read_bytes, kept))
    for name in (b"validation/word error", b"training/turn-02/distilling/loss"):
        assert name in content


def test_wandb_goes_where_a_variable_or_its_login_says(monkeypatch, tmp_path):
    from edgespiral.loggers import wandb

    (tmp_path / "netrc").write_text("machine wandb.example.org login user password key\n")
    assert not wandb.is_configured()
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org")
    assert wandb.is_configured()
    (tmp_path / "netrc").write_text("neither machine nor login\n")
    assert not wandb.is_configured()
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert wandb.is_configured()
