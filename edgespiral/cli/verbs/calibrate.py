"""`edgespiral calibrate`: an int8 model from a float one, and what that costs layer by layer."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from edgespiral.cli import options
from edgespiral.cli.terminal import Terminal, tell
from edgespiral.core.errors import DataError, UsageError
from edgespiral.tasks import DEFAULT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console
    from rich.table import Table
    from torch import Tensor

    from edgespiral.core.batches import DataSplits
    from edgespiral.core.records.exported import Quantisation
    from edgespiral.core.records.metric import Metric
    from edgespiral.export.int8.calibration import Calibrated
    from edgespiral.measure.profile import TargetProfile
    from edgespiral.spiral.student.float_fallback import FallbackOutcome
    from edgespiral.tasks.base import Task as AnyTask


Cache = Annotated[
    Path | None,
    typer.Option(
        help="Folder of ranges found before, by model and recipe.",
        show_default="~/.cache/edgespiral/ranges",
    ),
]
Target = Annotated[
    str | None,
    typer.Option(
        help="The device that the file is judged on and, with --max-drop, on which float's cost "
        "is measured.",
        show_default="host-cpu with --max-drop, else none",
    ),
]
Task = Annotated[
    str | None,
    typer.Option(
        help=options.help_of(options.PLAN_OPTIONS["task"]),
        show_default=f"the run's, or {DEFAULT}",
    ),
]


def calibrate(
    model: Annotated[Path, typer.Argument(help="A float ONNX file, or a run folder.")],
    *,
    data: Annotated[
        str | None,
        typer.Option(help="Where samples come from; the recipe's own data if not given."),
    ] = None,
    recipe: Annotated[str, typer.Option(help="A recipe's name or file.")] = "default",
    runtime: Annotated[
        Literal["onnxruntime", "tensorrt"], typer.Option(help="What the int8 file is for.")
    ] = "onnxruntime",
    out: Annotated[
        Path | None, typer.Option(help="The file to write.", show_default="MODEL.int8.onnx")
    ] = None,
    cache: Cache = None,
    max_drop: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            help="What of the validation score int8 may lose, in its unit; layers go back to "
            "float until it does not lose more.",
        ),
    ] = None,
    target: Target = None,
    task: Task = None,
    worst: Annotated[int, typer.Option(min=0, help="Layers to show, worst first; 0: all.")] = 0,
) -> None:
    """Quantise a model to int8 by a recipe, and show each layer's error, the worst first."""

    from edgespiral.core.system.files import make_folder, user_cache
    from edgespiral.export.recipe import load_recipe
    from edgespiral.measure.profile import load_profile

    int8_recipe = load_recipe(recipe)
    is_judged = target is not None or max_drop is not None
    profile = load_profile(target or "host-cpu") if is_judged else None
    source = data or int8_recipe.data
    if source is None:
        raise UsageError(
            "no data to calibrate on", where="--data", hint="name it, or write it in the recipe"
        )
    from edgespiral.export.int8.calibration import prepare

    file = _whole_file(model)
    path = _checked_out(out or _default_out(file), file, (*_files_of(model, file), source, recipe))
    aim, splits = _task_and_data(task_of(model, task), source)
    ranges = cache.expanduser() if cache else user_cache("ranges")
    calibrated = prepare(file, splits, int8_recipe, form=runtime, cache=ranges, task=aim)
    console = Terminal()
    for line in _doubts(model, calibrated, splits):
        console.print(line, soft_wrap=True)
    make_folder(path.parent)
    record = _written(calibrated, path, splits, max_drop, profile)
    _say(console, record, worst, aim.metric)
    console.print(f"{path} and {path.with_suffix('.json')}", soft_wrap=True)


def _task_and_data(task: AnyTask, source: str) -> tuple[AnyTask, DataSplits]:
    """The task for that data, and the data, which have what int8 is judged by.

    Raises:
        DataError: they have no targets, or others than the task takes.
    """
    from edgespiral.data import load
    from edgespiral.data.guard import watched

    task, splits = task.fitted(load(source))
    splits = watched(splits, task.target_problem)
    if not splits.is_labelled:
        raise DataError("has no targets, by which int8 is judged", where=source)
    task.check_data(splits)
    return task, splits


def task_of(model: Path, task_name: str | None) -> AnyTask:
    """The task that is asked for, or else the one of the run in the folder `model`.

    Raises:
        UsageError: what is asked for scores by another metric than the run.
    """
    from edgespiral.core.records.journal import read_run
    from edgespiral.report.run import Run
    from edgespiral.tasks import load as load_task

    journal = model / "journal.jsonl"
    started = Run.of(read_run(journal)).started if journal.is_file() else None
    of_run = str(started.plan.get("task", DEFAULT)) if started else DEFAULT
    task = load_task(task_name or of_run)
    if started is not None and started.metric != task.metric:
        raise UsageError(
            f"scores by {task.metric.name}, and the run by {started.metric.name}",
            where=f"--task {task_name or of_run}",
            hint="name the task that the run had",
        )
    return task


def _written(
    calibrated: Calibrated,
    path: Path,
    splits: DataSplits,
    max_drop: float | None,
    profile: TargetProfile | None,
) -> Quantisation:
    """Write the file and judge it: here, and on the target if there is one."""
    from edgespiral.export.precision import PARITY_SAMPLES, validation_samples, write_like_float
    from edgespiral.spiral.shipping.on_device import DEVICE_SAMPLES, check_on
    from edgespiral.spiral.student.precisions import require_form

    samples = validation_samples(splits, PARITY_SAMPLES)
    if profile is None:
        return write_like_float(calibrated, path, samples)
    require_form(profile, calibrated.form)
    held = None
    if max_drop is not None:
        held = _held(calibrated, path, splits, max_drop, samples=samples, profile=profile)
    check = partial(check_on, profile, data=splits, samples=DEVICE_SAMPLES, task=calibrated.task)
    return write_like_float(calibrated, path, samples, held.restored if held else (), check=check)


def _say(console: Console, record: Quantisation, worst: int, metric: Metric) -> None:
    console.print(_table(record, worst))
    for line in _in_float(record, metric):
        console.print(f"in float: {line}", soft_wrap=True)
    for line in _agreement(record, metric):
        console.print(line, soft_wrap=True)


def _whole_file(model: Path) -> Path:
    """The ONNX file that `model` names, which runs as a whole."""
    from edgespiral.export.parts import require_float
    from edgespiral.measure.model_files import find_model, timed_files

    file = find_model(model)
    require_float([timed.part for timed in timed_files(file) if timed.part], "int8")
    return file


def _default_out(file: Path) -> Path:
    return file.with_suffix(".int8.onnx")


def _files_of(model: Path, file: Path) -> list[Path]:
    """What a model and its run are made of; what was calibrated there before is not of them."""
    from edgespiral.export.precision import record_path
    from edgespiral.measure.model_files import all_files

    own = (_default_out(file), record_path(_default_out(file)))
    others = model.iterdir() if model.is_dir() else ()
    return [*all_files(file), *(other for other in others if other not in own)]


def _checked_out(path: Path, file: Path, reads: Iterable[str | Path]) -> Path:
    """The file to write, which is nothing that is read, and nor is its record.

    Raises:
        UsageError: one of them is, or its record's place is taken.
    """
    from edgespiral.export.precision import record_path, require_record_place

    record = record_path(path)
    if path.resolve() == file.resolve() or path == record or record.resolve() == file.resolve():
        raise UsageError(
            f"{path} is the model itself, or has its record's name",
            where="--out",
            hint="name another .onnx file",
        )
    inputs = list(reads)
    for written in (path, record):
        options.require_not_read(written, inputs)
    require_record_place(path)
    return path


def _held(
    calibrated: Calibrated,
    path: Path,
    splits: DataSplits,
    max_drop: float,
    *,
    samples: Sequence[Tensor],
    profile: TargetProfile,
) -> FallbackOutcome:
    """What it takes to lose no more than `max_drop` points."""

    from edgespiral.core.listener import OnConsole
    from edgespiral.spiral.student.float_fallback import hold

    held = hold(
        calibrated,
        path,
        splits.validation,
        max_drop,
        samples=samples,
        profile=profile,
        listener=OnConsole(Terminal(stderr=True)),
    )
    metric = calibrated.task.metric
    tell(f"validation: float {metric.text(held.float_score)}, int8 {metric.text(held.score)}")
    return held


def _agreement(record: Quantisation, metric: Metric) -> list[str]:
    from edgespiral.report import formats

    near = [] if record.parity is None else [f"against float: {formats.parity(record.parity)}"]
    if record.device_check is None:
        return [*near, "not judged on a device: --target names one"]
    return [*near, formats.device_check(record.device_check, metric)]


def _doubts(model: Path, calibrated: Calibrated, splits: DataSplits) -> list[str]:
    """What there is to say of the samples; a run folder knows how right its model should be.

    Raises:
        DataError: it is less right on the samples than its run has found.
    """
    from edgespiral.core.records.journal import read_run
    from edgespiral.export.int8.calibration import check_as_right_as_known, right_answers
    from edgespiral.report.run import Run

    journal = model / "journal.jsonl"
    best = Run.of(read_run(journal)).best if journal.is_file() else None
    where = f"{splits.name}: {calibrated.recipe.split}"
    if best is not None:
        expected = best.student.float_score or best.student.validation_score
        check_as_right_as_known(
            calibrated.source, calibrated.samples, expected, where, calibrated.task
        )
    labels = set(calibrated.samples.labels)
    missing = [name for at, name in enumerate(splits.class_names) if at not in labels]
    count, right_on = (
        len(calibrated.samples.inputs),
        right_answers(calibrated.source, calibrated.samples, calibrated.task),
    )
    right = f"{where}: the float model is right on {right_on:.4g}"
    lines = [f"{right} of {count} samples"]
    return [*lines, f"{where}: no sample of {', '.join(missing)}"] if missing else lines


def _in_float(record: Quantisation, metric: Metric) -> list[str]:
    from edgespiral.report import formats

    restored = {layer.layer: formats.restored(layer, metric) for layer in record.restored}
    others = sorted(set(record.kept_float) - set(restored))
    return [*restored.values(), *(f"{layer} ({record.kept_float[layer]})" for layer in others)]


def _table(record: Quantisation, worst: int) -> Table:
    from rich.table import Table

    from edgespiral.export.layers import worst_first

    title = f"{record.recipe}: {record.samples} samples, {record.method}"
    table = Table(title=title, box=None, pad_edge=False)
    table.add_column("layer", overflow="fold")
    table.add_column("kind")
    table.add_column("own SQNR dB", justify="right")
    table.add_column("SQNR dB so far", justify="right")
    for error in worst_first(record.layers)[: worst or None]:
        own = "float" if error.own_sqnr_db is None else f"{error.own_sqnr_db:.1f}"
        whole = "exact" if error.sqnr_db is None else f"{error.sqnr_db:.1f}"
        table.add_row(error.layer, error.operator, own, whole)
    return table
