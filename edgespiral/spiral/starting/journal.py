"""The journal of a run that begins, or that is gone on with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from edgespiral.core.errors import (
    RunFolderError,
    first_few,
)
from edgespiral.core.option import flag
from edgespiral.core.records.events import RunStarted
from edgespiral.core.records.journal import Journal, require_sound
from edgespiral.core.records.schema import now_utc
from edgespiral.core.system.versions import versions
from edgespiral.data.accompanying import hashes
from edgespiral.export.recipe import load_recipe, recipe_sha256
from edgespiral.models.saved import weights_sha256
from edgespiral.spiral.plan import plan_sha256
from edgespiral.spiral.training import training_settings

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from torch import nn

    from edgespiral.core.batches import DataSplits
    from edgespiral.core.records.events import Event
    from edgespiral.prune.prunable import PrunableModel
    from edgespiral.spiral.plan import Plan
    from edgespiral.tasks.base import Task

# Fields of a plan that are by a rule what nobody said, and in its hash are by their default.
SETTLED = ("batch_size", "temperature")
OF_RUN, OF_EXPLORATION = JOURNALS = "journal.jsonl", "exploration.jsonl"


def begun_journal(
    plan: Plan,
    teacher: PrunableModel,
    task: Task,
    splits: DataSplits,
    path: Path,
    *,
    resume: bool,
    command: str,
    other_teacher: nn.Module | None = None,
) -> Journal:
    """The journal at `path`, with its first record; with `resume`, that of the run that is there.

    Args:
        plan, teacher, task, splits: of the run.
        path: of the journal.
        resume: whether to go on with what is there.
        command: that asked for it, quoted for a shell.
        other_teacher: who teaches in the teacher's place.

    Raises:
        RunFolderError: it holds a run that is not to be gone on with, or another one, or its folder
            an exploration beside it.
    """
    journal, out = Journal(path), path.parent
    _require_alone(path)
    events = journal.read()
    settings = training_settings(plan, teacher.model, len(splits.train), task)
    # What a rule makes of fields that the plan leaves open.
    given = plan.model_fields_set - {"out"}
    settled = {name: getattr(settings, name) for name in SETTLED} | {"augment": plan.shows_views}
    started = RunStarted(
        plan=json.loads(plan.model_dump_json(exclude={"out"})) | settled,
        said=tuple(name for name in type(plan).model_fields if name in given),
        plan_sha256=plan_sha256(plan),
        teacher_sha256=weights_sha256(teacher.model),
        teacher_model_sha256=weights_sha256(other_teacher) if other_teacher is not None else None,
        metric=task.metric,
        timed=task.timed,
        recipe_sha256=recipe_sha256(load_recipe(plan.recipe)),
        data_files=hashes(splits.files),
        versions=versions(),
        command=command,
        started_at=now_utc(),
    )
    if not events:
        journal.append(started)
        return journal
    require_sound(events, journal.path)
    _require_same_run(events[0], started, out)
    if not resume:
        raise RunFolderError(
            "this folder already holds this run",
            where=str(out),
            hint="go on with --resume, or choose another --out",
        )
    return journal


def said_otherwise(
    begun: RunStarted, said: Collection[str], values: Mapping[str, object]
) -> str | None:
    """The first field that was given to one of two runs alone, and is another in the other.

    The hash of their plans is the same where what was given is the default.

    Args:
        begun: one of them. Journals of before do not tell what was given.
        said: the fields that the plan of the other was given.
        values: of that plan.
    """
    if begun.said is None:
        return None
    for name in SETTLED:
        is_said_once = (name in begun.said) != (name in said)
        if is_said_once and begun.plan.get(name) != values.get(name):
            return name
    return None


def _require_alone(path: Path) -> None:
    """Refuse a folder that has another kind of journal: both would write to `teacher`.

    Raises:
        RunFolderError: it does.
    """
    others = [name for name in JOURNALS if name != path.name and (path.parent / name).exists()]
    if others:
        raise RunFolderError(
            f"this folder holds what {others[0]} tells of",
            where=str(path.parent),
            hint="choose another --out; nothing here was changed",
        )


def _require_same_run(begun: Event, now: RunStarted, out: Path) -> None:
    """Refuse a folder whose journal began with something else than a run that starts `now`.

    Raises:
        RunFolderError: it holds a run of another plan, teacher or recipe, or on other data.
    """
    if not isinstance(begun, RunStarted):
        raise RunFolderError("the journal does not begin with a run's start", where=str(out))
    if (begun.plan_sha256, begun.teacher_sha256) != (now.plan_sha256, now.teacher_sha256):
        raise RunFolderError(
            "this folder holds a run of another plan or another teacher",
            where=str(out),
            hint="choose another --out; nothing here was changed",
        )
    other = said_otherwise(begun, now.said or (), now.plan)
    if other is not None:
        raise RunFolderError(
            f"this folder holds a run with {other} {begun.plan.get(other)}, not {now.plan[other]}",
            where=str(out),
            hint="go on with the plan that it was begun with, or choose another --out",
        )
    if begun.teacher_model_sha256 != now.teacher_model_sha256:
        raise RunFolderError(
            "the model that teaches has other weights than the one that this run began with",
            where=flag("teacher_model"),
            hint="put its weights back as they were, or choose another --out",
        )
    differing = {name for name, _ in begun.data_files.items() ^ now.data_files.items()}
    if differing:
        raise RunFolderError(
            f"the data have another {first_few(sorted(differing))} than the run in this folder",
            where=str(out),
            hint="put the data back that it was started with, or choose another --out",
        )
    if begun.recipe_sha256 not in (None, now.recipe_sha256):
        raise RunFolderError(
            "this folder holds a run with another recipe",
            where=str(out),
            hint="put the recipe back as it was, or choose another --out",
        )
    if begun.metric != now.metric:
        raise RunFolderError(
            f"this folder holds a run that is scored by {begun.metric.name}, not by "
            f"{now.metric.name}",
            where=str(out),
            hint="name the task that it was started with, or choose another --out",
        )
