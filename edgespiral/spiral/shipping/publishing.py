"""The files that ship: copied, fetched, and held against what the journal says was judged."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from edgespiral.core.errors import ModelError, RunFolderError, first_few
from edgespiral.core.records.events import Baseline, TurnFinished
from edgespiral.core.records.parts import part_files
from edgespiral.core.system.files import replacing, sha256_file, write_text
from edgespiral.measure.build import build_engine
from edgespiral.measure.engine_files import (
    builds_and_times,
    engine_path,
    record_path,
    written_record,
)
from edgespiral.spiral.context import turn_folder
from edgespiral.spiral.student.qat import FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from edgespiral.core.listener import Listener
    from edgespiral.core.records.events import Event, RunFinished
    from edgespiral.core.records.exported import EngineFacts
    from edgespiral.measure.session import Session

MODEL = "model.onnx"
SHIPPED = (MODEL, "model.py", "model.safetensors")
SHIPPED_IF_CONVERTED = ("model.float.onnx", "model.json")


def hashes_of(folder: Path) -> dict[str, str]:
    """SHA-256, by name, of the files in `folder` that would ship."""
    converted = [name for name in SHIPPED_IF_CONVERTED if (folder / name).is_file()]
    parts = [part.file for part in part_files(folder / MODEL)]
    return {name: sha256_file(folder / name) for name in (*SHIPPED, *converted, *parts)}


def judged_files(events: Iterable[Event], turn: int) -> dict[str, str]:
    """SHA-256, by name, of what was scored and measured in `turn`; turn 0 is the teacher."""
    for event in events:
        if isinstance(event, Baseline) and turn == 0:
            # Journals of before have the hash of the file that was measured alone.
            return event.files or {MODEL: event.devices[0].measurement.model_sha256}
        if isinstance(event, TurnFinished) and event.turn == turn:
            return event.files
    raise RunFolderError(f"the journal does not tell of turn {turn}", hint="start another run")


def shipped_folder(out: Path, events: Iterable[Event], turn: int) -> Path:
    """Where in a run folder a finished turn's files lie that ship; turn 0 is the teacher."""
    folder = turn_folder(out, turn)
    for event in events:
        if isinstance(event, TurnFinished) and event.turn == turn:
            training = event.quantised_training
            return folder / FOLDER if training is not None and training.kept else folder
    return folder


def changed(folder: Path, files: Mapping[str, str]) -> list[str]:
    """Which of `files`, hashes by name, are missing in `folder` or differ there."""
    return [
        name
        for name, sha256 in files.items()
        if not (folder / name).is_file() or sha256_file(folder / name) != sha256
    ]


def require_judged(folder: Path, files: Mapping[str, str]) -> None:
    """Refuse what is not what was scored and measured.

    Raises:
        RunFolderError: one of `files`, hashes by name, is missing in `folder` or differs there.
    """
    for name in changed(folder, files):
        there = (folder / name).is_file()
        raise RunFolderError(
            "is not the file that was judged" if there else "is missing",
            where=str(folder / name),
            hint="put it back, or start again with another --out; the journal has its SHA-256",
        )


def publish(out: Path, events: Sequence[Event], turn: int) -> None:
    """Copy what was judged in `turn` to the run folder's top, each file atomically.

    Raises:
        RunFolderError: a file is missing, is not what was judged, or cannot be written.
    """
    source, files = shipped_folder(out, events, turn), judged_files(events, turn)
    require_judged(source, files)
    for name in files.keys() | set(SHIPPED):
        copy_judged(source / name, out / name, files.get(name))


def restore(out: Path, events: Sequence[Event], finished: RunFinished, listener: Listener) -> None:
    """Put back what of a finished run's published files is missing or was changed.

    Raises:
        RunFolderError: the turn does not have it either, or an engine would have to be built anew.
    """
    files = judged_files(events, finished.best_turn)
    wrong = changed(out, files)
    wrong += [name for name in SHIPPED if not (out / name).is_file() and name not in files]
    if wrong:
        source = shipped_folder(out, events, finished.best_turn)
        require_judged(source, {name: files[name] for name in wrong if name in files})
        for name in wrong:
            copy_judged(source / name, out / name, files.get(name))
        listener.say(f"  published again: {first_few(wrong)}")
    if finished.engine is not None:
        _require_engine(out / MODEL, finished.engine)


def fetch_engine(model: Path, sessions: Sequence[Session]) -> EngineFacts | None:
    """Bring a published model's engine back from the first device that builds one, if any does.

    The device has it already, unless the run was begun anew since it was measured. Of a model of
    parts none is fetched: `edgespiral build` makes that of each.
    """
    if part_files(model):
        return None
    builders = [session for session in sessions if builds_and_times(session.profile)]
    return build_engine(builders[0], model, engine_path(model)) if builders else None


def copy_judged(source: Path, goal: Path, sha256: str | None) -> None:
    """Copy a file whose content is known.

    Raises:
        RunFolderError: it is missing, changes on the way, or cannot be written.
    """
    if not source.is_file():
        raise RunFolderError("is missing", where=str(source), hint="start again, another --out")
    with replacing(goal) as temporary:
        shutil.copyfile(source, temporary)
        if sha256 is not None and sha256_file(temporary) != sha256:
            raise RunFolderError("changes while it is copied", where=str(source), hint="--resume")


def _require_engine(model: Path, facts: EngineFacts) -> None:
    """The engine of the run, or one that was built later of the same file."""
    engine = engine_path(model)
    hint = f"build it anew: edgespiral build {model.parent} --target {facts.target}"
    if not engine.is_file():
        raise RunFolderError("the engine is missing", where=str(engine), hint=hint)
    if sha256_file(engine) == facts.sha256:
        if not record_path(engine).is_file():
            write_text(record_path(engine), facts.model_dump_json(indent=2) + "\n")
        return
    try:
        own = written_record(engine, facts.runtime)
    except ModelError:
        own = None
    if own is None or own.model_sha256 != facts.model_sha256:
        raise RunFolderError("is not the engine of this run", where=str(engine), hint=hint)
