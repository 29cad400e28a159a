"""The runtime of a run's targets, by a race of the teacher on each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.core.errors import RunFolderError
from edgespiral.core.listener import say_all
from edgespiral.core.records.events import RuntimeChosen
from edgespiral.core.system.temporary import work_folder
from edgespiral.export.precision import PARITY_SAMPLES, ExportRequest, export_as, validation_samples
from edgespiral.measure.racing.entrants import entrants
from edgespiral.report import console
from edgespiral.spiral.shipping.racing import RACE_SAMPLES, raced

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from edgespiral.core.batches import DataSplits
    from edgespiral.core.listener import Listener
    from edgespiral.core.records.journal import Journal
    from edgespiral.core.records.measurement import Race
    from edgespiral.measure.profile import TargetProfile
    from edgespiral.measure.racing.entrants import Entrant
    from edgespiral.tasks.base import Task


def settled(
    profiles: Sequence[TargetProfile],
    model: nn.Module,
    splits: DataSplits,
    *,
    task: Task,
    journal: Journal,
    listener: Listener,
    rounded: bool = False,
) -> list[TargetProfile]:
    """The targets with the runtime that won there, by the journal's race or a new one.

    What a run is scored on is computed in float32, so all that take part compute float files in it,
    but where a student may be rounded: then what ships is compared on the device in any case.

    Args:
        profiles: of the targets, with their own runtimes.
        model: the teacher.
        splits: whose validation samples outputs are compared on.
        task: what says how near the exported file is to the model.
        journal: of the run.
        listener: hears who won.
        rounded: whether those take part that compute float files in less than float32.

    Raises:
        ExportError: the teacher cannot be exported.
        MeasurementError: no runtime of a target runs it.
        RunFolderError: the journal's winner is none of those that can take part here.
    """
    chosen = [event for event in journal.read() if isinstance(event, RuntimeChosen)]
    lanes = [entrants(profile, to_plan_on=True, rounded=rounded) for profile in profiles]
    if not chosen:
        races = _races(lanes, model, splits, task=task, listener=listener)
        chosen = [RuntimeChosen(races=tuple(races))]
        journal.append(chosen[0])
    return [_winner(race, there) for race, there in zip(chosen[-1].races, lanes, strict=True)]


def _winner(race: Race, lanes: Sequence[Entrant]) -> TargetProfile:
    won = race.won
    for entrant in lanes:
        if (entrant.profile.runtime.kind, entrant.precision) == (won.runtime, won.precision):
            return entrant.profile
    raise RunFolderError(
        f"the race was won by {won.runtime} in {won.precision}, which does not take part here",
        where=race.target,
        hint="resume with the plan and the version that began the run",
    )


def _races(
    lanes: Sequence[Sequence[Entrant]],
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
        for entrants_there in lanes:
            outcome = raced(
                file, entrants_there, inputs, samples=f"validation samples of {splits.name}"
            )
            races.append(outcome.model_copy(update={"model": "teacher"}))
    say_all(listener, console.races(races))
    return races
