"""What `edgespiral ship` does: a finished run's model, sample and figure, found and handed on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral import data as data_sets
from edgespiral import tasks
from edgespiral.core.errors import EdgeSpiralError, RunFolderError, UsageError
from edgespiral.core.records.journal import read_run
from edgespiral.measure.model_files import precision_of
from edgespiral.measure.profile import load_profile
from edgespiral.measure.racing.entrants import with_runtime
from edgespiral.measure.session import Session
from edgespiral.models.saved import load_model
from edgespiral.report.run import Run
from edgespiral.spiral.shipping.kit import Shipment, require_empty, require_kit, write_kit
from edgespiral.spiral.shipping.publishing import MODEL, judged_files, require_judged
from edgespiral.spiral.shipping.sample import kept, recorded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from edgespiral.core.records.measurement import Measurement
    from edgespiral.spiral.shipping.sample import FileSample

JOURNAL = "journal.jsonl"


def ship(
    folder: Path,
    runtime: str,
    out: Path,
    *,
    data: str | None = None,
    target: str | None = None,
) -> Shipment:
    """Write a finished run's model with programs that run it by `runtime`.

    The figure is the run's where that was measured with the runtime, and else measured now.

    Args:
        folder: of the run.
        runtime: by name.
        out: the folder to make.
        data: whose validation sample is recorded where the run has kept none; the run's own data
            if not given.
        target: on which to measure, where the run did not by this runtime; the run's own if not
            given.

    Raises:
        RunFolderError: the run is not finished, or its file is not the one that was judged.
        UsageError: the runtime ships nothing, something is in `out`, or the run's data cannot be
            had.
        EdgeSpiralError: as `write_kit`, `recorded` and `Session.measure`.
    """
    require_kit(runtime)
    require_empty(out)
    events = read_run(folder / JOURNAL)
    run = Run.of(events)
    if run.finished is None:
        hint = "go on with it: edgespiral compress ... --resume"
        raise RunFolderError("the run is not finished", where=str(folder), hint=hint)
    files = judged_files(events, run.finished.best_turn)
    require_judged(folder, files)
    # Plans of before there were tasks do not name one.
    path, plan = folder / MODEL, {"task": tasks.DEFAULT} | run.started.plan
    samples = kept(path) or _made(path, str(plan["data"]), str(plan["task"]), data)
    figures = [row.student for row in run.devices() if row.student.fingerprint.runtime == runtime]
    is_measured_now = not figures or target is not None
    if is_measured_now:
        figures = _measured(path, [target] if target else run.target.split(", "), runtime)
    _require_of(files, samples, figures, path)
    about = {key: str(plan[key]) for key in ("model", "task", "data")}
    shipment = Shipment(
        path=path,
        runtime=runtime,
        samples=samples,
        figures=figures,
        is_measured_now=is_measured_now,
        precision=precision_of(path),
        about=about if data is None else about | {"data": data},
    )
    write_kit(shipment, out)
    return shipment


def _require_of(
    files: Mapping[str, str],
    samples: Sequence[FileSample],
    figures: Sequence[Measurement],
    path: Path,
) -> None:
    """Refuse samples and figures of anything but the files that were judged.

    Raises:
        RunFolderError: so they are.
    """
    hashes = {*files.values()}
    if not {sample.sha256 for sample in samples} <= hashes:
        raise RunFolderError(
            "changed while it was shipped", where=str(path), hint="ship it again once it rests"
        )
    if any(figure.model_sha256 != files[MODEL] for figure in figures):
        raise RunFolderError(
            "the run's figure is of another file than the one that it has judged",
            where=str(path),
            hint="measure it anew: --target TARGET",
        )


def _made(path: Path, data: str, task_name: str, other: str | None) -> tuple[FileSample, ...]:
    """A sample of a run that has kept none: its own data's, or of those that are named."""
    try:
        splits, task = data_sets.load(other or data), tasks.load(task_name)
    except EdgeSpiralError as error:
        if other is not None:
            raise
        raise UsageError(
            f"the run has kept no sample, and its data cannot be had again: {error}",
            where=str(path.parent),
            hint="name them: --data DATA",
        ) from error
    task, splits = task.fitted(splits)
    return recorded(path, splits, task, lambda: load_model(path.parent))


def _measured(path: Path, targets: Sequence[str], runtime: str) -> list[Measurement]:
    figures = []
    for name in targets:
        with Session(with_runtime(load_profile(name), runtime)) as session:
            figures += session.measure([path])
    return figures
