"""The runtime of a run's targets, by a race of the teacher on each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.core.records.events import RuntimeChosen
from edgespiral.core.system.temporary import work_folder
from edgespiral.export.precision import PARITY_SAMPLES, ExportRequest, export_as, validation_samples
from edgespiral.measure.racing.entrants import entrants, with_runtime
from edgespiral.report import formats
from edgespiral.spiral.shipping.racing import RACE_SAMPLES, raced

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from edgespiral.core.batches import DataSplits
    from edgespiral.core.listener import Listener
    from edgespiral.core.records.journal import Journal
    from edgespiral.core.records.measurement import Race
    from edgespiral.measure.profile import TargetProfile
    from edgespiral.tasks.base import Task


def settled(
    profiles: Sequence[TargetProfile],
    model: nn.Module,
    splits: DataSplits,
    *,
    task: Task,
    journal: Journal,
    listener: Listener,
) -> list[TargetProfile]:
    """The targets with the runtime that won there, by the journal's race or a new one.

    All that take part compute float files in float32: what a run is scored on is computed so too.

    Args:
        profiles: of the targets, with their own runtimes.
        model: the teacher.
        splits: whose validation samples outputs are compared on.
        task: what says how near the exported file is to the model.
        journal: of the run.
        listener: hears who won.

    Raises:
        ExportError: the teacher cannot be exported.
        MeasurementError: no runtime of a target runs it.
    """
    chosen = [event for event in journal.read() if isinstance(event, RuntimeChosen)]
    if not chosen:
        chosen = [
            RuntimeChosen(
                races=tuple(_races(profiles, model, splits, task=task, listener=listener))
            )
        ]
        journal.append(chosen[0])
    return [
        with_runtime(profile, race.won.runtime)
        for profile, race in zip(profiles, chosen[-1].races, strict=True)
    ]


def _races(
    profiles: Sequence[TargetProfile],
    model: nn.Module,
    splits: DataSplits,
    *,
    task: Task,
    listener: Listener,
) -> list[Race]:
    request = ExportRequest("fp32", samples=PARITY_SAMPLES, task=task)
    inputs = validation_samples(splits, RACE_SAMPLES)
    races = []
    with work_folder() as folder, listener.steps("racing the runtimes"):
        file = folder / "teacher.onnx"
        export_as(model, file, splits, request)
        for profile in profiles:
            lanes = entrants(profile, to_plan_on=True)
            outcome = raced(file, lanes, inputs, samples=f"validation samples of {splits.name}")
            races.append(outcome.model_copy(update={"model": "teacher"}))
    for race in races:
        listener.say(f"runtime on {race.target}: {formats.race(race)}")
        for row in race.rows:
            if row.refused is not None:
                listener.say(f"  {formats.runtime(row)}: {row.refused}")
    return races
