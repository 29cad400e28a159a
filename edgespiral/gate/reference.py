"""What a model is compared with: another file, its own file of an earlier commit, or a baseline."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING

from edgespiral.core.errors import ModelError, UsageError, unknown_name
from edgespiral.core.records.parts import part_files
from edgespiral.core.system.files import is_file, make_folder, writing
from edgespiral.gate.git import commit_at, file_at
from edgespiral.gate.interface import interface
from edgespiral.gate.suite import model_file
from edgespiral.measure.model_files import LFS_POINTER, MODEL, external_names, find_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgespiral.gate.records import BenchResult, CaseResult, Reference
    from edgespiral.gate.suite import Case, Suite

    # None for a model that may be new, and is.
    Find = Callable[[Case], "Counterpart | None"]

IF_NEW = "where it is new, allow_new = true lets it be"


@dataclass(frozen=True)
class Counterpart:
    """What a model is compared with: a file to take turns with, or a stored result."""

    label: str
    file: Path | None = None
    stored: CaseResult | None = None

    def interface(self) -> tuple[str, ...]:
        """Its inputs and outputs.

        Raises:
            ModelError: the file is not an ONNX model.
        """
        if self.file is not None:
            return interface(self.file)
        return self.stored.interface if self.stored else ()

    def reference(self) -> Reference | None:
        """The stored result as a reference; None for a file, which is yet to be measured."""
        return self.stored.as_reference(self.label) if self.stored else None


def from_path(suite_path: Path, suite: Suite, against: Path) -> Find:
    """Compare with other files: `against/PATH` for each model, or `against` for an only one.

    Raises:
        ModelError: from the finder, where a model has no counterpart, or would be its own.
    """

    def find(case: Case) -> Counterpart | None:
        place = _place(suite, case, against)
        if place is None:
            return None
        file = find_model(place)
        if file.samefile(model_file(suite_path, case)):
            raise ModelError(
                f"is the model itself, for {case.title}",
                where=str(file),
                hint="name a copy of the former model with --against",
            )
        return Counterpart(str(against), file=file)

    return find


def _place(suite: Suite, case: Case, against: Path) -> Path | None:
    """Where a case's former model lies; None where it may be new, and is.

    A path that leads out of `against` names a file that has nothing to do with it, such as the
    model itself.
    """
    inside = Path(os.path.normpath(case.path))
    is_inside = not inside.is_absolute() and ".." not in inside.parts
    is_only = len(suite.models) == 1
    own = [against, against / MODEL] if is_only else []
    if is_only and is_file(against):
        return against
    if is_inside and os.path.lexists(against / inside):
        return against / inside
    if case.allow_new and against.is_dir() and not any(map(is_file, own)):
        return None
    if not is_only and not is_inside:
        raise ModelError(
            f"leads out of every folder, so that there is none in {against}",
            where=case.path,
            hint="name models by paths below the suite's folder",
        )
    return against if is_only else against / inside


def from_baseline(suite: Suite, name: str, result: BenchResult) -> Find:
    """Compare with a stored result.

    Raises:
        UsageError: the baseline lacks a model, told before anything is measured.
    """
    stored = {case.name: case for case in result.cases}
    for case in suite.models:
        if case.title not in stored and not case.allow_new:
            what = unknown_name("model", case.title, stored).what
            raise UsageError(what, where=f"baseline {name}", hint=f"save it again; {IF_NEW}")

    def find(case: Case) -> Counterpart | None:
        case_result = stored.get(case.title)
        return Counterpart(name, stored=case_result) if case_result else None

    return find


def from_ref(suite_path: Path, ref: str, folder: Path) -> Find:
    """Compare with the models' files as git has them at `ref`, which are put into `folder`.

    Raises:
        UsageError: from the finder: no such ref, or no repository.
        ModelError: from the finder: the model was not in git there, or only a pointer to it.
    """

    def find(case: Case) -> Counterpart | None:
        file = _named_file(suite_path, case)
        try:
            return _restored(file, ref, folder, allow_new=case.allow_new)
        except UsageError as error:
            # What is wrong with one model's repository leaves the other models to be judged.
            if commit_at(suite_path.parent, ref) is None:
                raise
            raise ModelError(error.what, where=str(file), hint=error.hint) from error

    return find


def _named_file(suite_path: Path, case: Case) -> Path:
    """A case's file, by the name that it has in the suite: links may have been others before."""
    file = model_file(suite_path, case)
    named = suite_path.parent.resolve() / case.path
    return named if file == suite_path.parent / case.path else named / file.name


def _restored(file: Path, ref: str, folder: Path, *, allow_new: bool) -> Counterpart | None:
    """A file as git has it at `ref`, with all that belongs to it, in a folder of its own."""
    if allow_new and file_at(file, ref) is None:
        return None
    content = _content(file, ref)
    goal = Path(mkdtemp(dir=folder)) / file.name
    with writing(goal):
        goal.write_bytes(content)
    # The old model may keep its weights in other files, and run in other parts.
    parts = [part.file for part in part_files(file, content)]
    for name in (*external_names(content, file), *parts):
        part = goal.parent / name
        make_folder(part.parent)
        held = _content(file.parent / name, ref)
        with writing(part):
            part.write_bytes(held)
    return Counterpart(ref, file=goal)


def _content(file: Path, ref: str) -> bytes:
    content = file_at(file, ref)
    if content is None:
        raise ModelError(
            f"is not in git at {ref}",
            where=str(file),
            hint=f"build it there and give --against; {IF_NEW}",
        )
    if content.startswith(LFS_POINTER):
        raise ModelError(
            f"is only a Git LFS pointer at {ref}", where=str(file), hint="install git-lfs"
        )
    return content
