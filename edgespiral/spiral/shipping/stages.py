"""The stages around a network, for a run and for a model by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral import data as data_sets
from edgespiral import tasks
from edgespiral.core.errors import EdgeSpiralError, UsageError
from edgespiral.core.records.journal import read_run
from edgespiral.core.system.temporary import work_folder
from edgespiral.export.stages import write_stages
from edgespiral.measure.stages.timing import stage_latencies
from edgespiral.models.accept import unwrapped
from edgespiral.models.load import load_model_for
from edgespiral.report.run import Run
from edgespiral.spiral.shipping.racing import loaded_model

if TYPE_CHECKING:
    from pathlib import Path

    from edgespiral.core.batches import DataSplits
    from edgespiral.core.stages.latencies import Stages
    from edgespiral.measure.fleet import Fleet
    from edgespiral.tasks.base import Task

JOURNAL = "journal.jsonl"


def stages_of(fleet: Fleet, onnx: Path, splits: DataSplits, task: Task) -> list[Stages]:
    """What runs around a network on each device.

    Args:
        fleet: the devices.
        onnx: the file of the network.
        splits: with the samples that a frame begins as.
        task: with what is done to the network's outputs.

    Raises:
        EdgeSpiralError: as `write_stages` and `stage_latencies`.
    """
    with work_folder() as folder:
        files = write_stages(folder, onnx, splits, task)
        return fleet.each(lambda _, session: stage_latencies(session.profile, files))


def stages_around(
    fleet: Fleet, model: Path, onnx: Path, data: str | None, task_name: str | None
) -> list[Stages]:
    """What runs around a model on each device.

    Args:
        fleet: the devices.
        model: an ONNX file, or the folder of a run.
        onnx: its ONNX file.
        data: by name; a run's own if not given.
        task_name: likewise.

    Raises:
        ModelError: ONNX Runtime cannot load the file.
        UsageError: a file is given, and no data.
        EdgeSpiralError: as `write_stages` and `stage_latencies`.
    """
    plan = _plan(model)
    loaded_model(onnx)
    name = data or plan.get("data")
    if not name:
        hint = "name what the model is for: --data DATA"
        raise UsageError("a pipeline begins with data", where="--timed pipeline", hint=hint)
    splits = data_sets.load(name)
    task = tasks.load(task_name or plan.get("task") or tasks.DEFAULT)
    task, splits = task.fitted(splits)
    return stages_of(fleet, onnx, splits, _with_model(task, splits, plan.get("model")))


def _plan(folder: Path) -> dict[str, str]:
    """The words of a run's plan; nothing of a file by itself."""
    journal = folder / JOURNAL
    if not journal.is_file():
        return {}
    plan = Run.of(read_run(journal)).started.plan
    return {key: value for key, value in plan.items() if isinstance(value, str)}


def _with_model(task: Task, splits: DataSplits, name: str | None) -> Task:
    """The task with what it needs of a run's model, such as anchors, where that can be had."""
    try:
        task.postprocessing()
    except UsageError:
        if name is None:
            return task
    else:
        return task
    try:
        model = load_model_for(splits, name, weights=None)
        return task.prepared(unwrapped(model), splits)[1]
    except EdgeSpiralError:
        # What it lacks is told beside the stage, which is not timed then.
        return task
