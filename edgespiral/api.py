"""The Python API: what the commands do, for programs, notebooks and tests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from edgespiral.core.errors import UsageError
from edgespiral.models import saved
from edgespiral.spiral.plan import Plan, load_plan
from edgespiral.spiral.plan.call import call_text, fields_of_call, run_folder
from edgespiral.tasks import DEFAULT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import nn

    from edgespiral.core.batches import DataSplits
    from edgespiral.core.listener import Listener
    from edgespiral.core.records.exported import Parity
    from edgespiral.core.records.measurement import (
        Measurement,
    )
    from edgespiral.core.records.result import Result
    from edgespiral.core.records.schema import Precision
    from edgespiral.distill.own_training import Training
    from edgespiral.distill.settings import TrainingOptions
    from edgespiral.tasks.base import Task
    from edgespiral.teacher import TrainedTeacher


@dataclass(frozen=True)
class Compressed:
    """What `compress` returns.

    Attributes:
        result: the record of `result.json`: the outcome, latencies in milliseconds with their 95 %
            intervals, scores in the unit of its `metric`, widths before and after, files with
            their SHA-256.
        folder: the run folder, with all that ships (docs/artefacts.md).
        model: the smaller model on the CPU, in eval mode; its inputs and outputs have the shapes
            of the one that was given.
    """

    result: Result
    folder: Path
    model: nn.Module


def compress(
    model: nn.Module | str,
    data: DataSplits | Mapping[str, Any] | str,
    plan: Plan | None = None,
    *,
    out: str | Path | None = None,
    resume: bool = False,
    listener: Listener | None = None,
    task: Task | str | None = None,
    train: Training | str | None = None,
    **options: Any,  # noqa: ANN401
) -> Compressed:
    """Compress a trained model until it measurably meets a latency budget on its device.

    What is asked for is a `Plan`, or its fields by keyword; a field given by keyword takes the
    place of the plan's. The model is given as it is, and stays as it was.

    Args:
        model: a trained module that takes a batch as `data` supplies it, of shape (N, C, H, W),
            (N, T, features) or (N, T), and returns what the task is about, such as logits of shape
            (N, classes); or what the command takes.
        data: three splits in memory, the mapping that a factory may return (docs/data.md), or what
            the command's `--data` takes. Training steers the weights, validation the run; the test
            split is looked at once, at the end.
        plan: what is asked for. Its `model` and `data` give way to the arguments of these names.
        out: the run folder, which is made where it is missing; the plan's `out` if not given.
        resume: go on with the run that is in `out`.
        listener: hears the progress (docs/logging.md); silent by default.
        task: a task of one's own, or what the command's `--task` takes; classification if not given
            (docs/tasks.md).
        train: one's own way to train students: a `TrainingStep`, or a function of a `TrainingJob`
            (docs/training.md).
        options: the plan's fields, as in `plan.toml`: `target`, one of `latency_ms` (milliseconds)
            and `speedup` (times, above 1), `size_mib` (of the file that ships), `parameters` (a
            count or a share), `memory_mib` and `energy_mj` (on each device, beside one of these),
            or `max_drop` (in the metric's unit) alone; `epochs` (passes over the training split),
            `turns` and so on (docs/plan.md).

    Returns:
        The outcome, the run folder and the smaller model. A budget that was not reached is an
        outcome, not an error: see `result.outcome`.

    Raises:
        UsageError: a field of the plan is wrong, no run folder is named, the target or the recipe
            is unknown, or `model` is no model, `task` no task and `train` no way to train.
        ModelError: the model cannot be traced, exported or cut.
        DataError: the data set is too small, of one class, or not of the shapes above.
        TargetError: the device or its runtime cannot be used, or was lost.
        MeasurementError: a measurement failed or is not to be trusted.
        ExportError: the ONNX file does not compute what PyTorch does.
        RunFolderError: `out` cannot be used, or holds another run.
        TrainingError: training diverged, or `train` failed.
        KeyboardInterrupt: Ctrl-C. As after every error, what was done so far lies in `out`, and
            `resume` goes on with it.

    Example:
        >>> import edgespiral
        >>> from torch import nn
        >>> net = nn.Sequential(
        ...     nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(),
        ...     nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(2048, 10),
        ... )
        >>> plan = edgespiral.Plan(
        ...     speedup=1.2, epochs=0.5, max_drop=100, pruner="depgraph", allocation="uniform"
        ... )
        >>> small = edgespiral.compress(net, "digits", plan, out="runs/net")
        >>> small.result.student.parameter_count < small.result.teacher.parameter_count
        True
        >>> (small.folder / "model.onnx").is_file()
        True
    """
    from edgespiral.data import load
    from edgespiral.distill.own_training import name_of, training_of
    from edgespiral.loggers.listening import in_program
    from edgespiral.spiral.run import load_teacher, run_spiral
    from edgespiral.spiral.starting.request import RunRequest
    from edgespiral.tasks import resolved

    fields, in_memory = fields_of_call(model, data, plan, task, options)
    if train is not None:
        fields["train"] = train if isinstance(train, str) else name_of(training_of(train))
    accepted = load_plan(None, fields)
    if accepted.devices is not None:
        raise UsageError(
            "a program is not started in several processes by itself",
            where="devices",
            hint="`edgespiral compress --devices` does that",
        )
    folder = run_folder(accepted.out if out is None else out)
    splits = in_memory or load(accepted.data)
    listener = in_program(listener, accepted.log)
    request = RunRequest(
        plan=accepted,
        model=load_teacher(accepted, splits, listener) if isinstance(model, str) else model,
        splits=splits,
        task=resolved(accepted.task if task is None else task),
        training=training_of(accepted.train if train is None else train),
        out=folder,
        resume=resume,
        listener=listener,
        command=call_text("compress", accepted, folder),
    )
    return Compressed(run_spiral(request), folder, saved.load_model(folder))


def train_teacher(
    model: str,
    data: str,
    *,
    out: str | Path,
    weights: str | Path | None = None,
    epochs: float | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    seed: int = 0,
    resume: bool = False,
    task: Task | str = DEFAULT,
    **options: Unpack[TrainingOptions],
) -> TrainedTeacher:
    """Train a model of the zoo, of torchvision or of your own; see `edgespiral train`.

    Args:
        model: a name, or `path/to/file.py:factory` (docs/training.md).
        data: a name, `folder:PATH`, or `path/to/file.py:factory` (docs/data.md).
        out: a folder that is empty or missing, or with `resume` that of this same training. It gets
            `weights.safetensors` and `train.json`.
        weights: what it begins from, such as those of the same network on other classes, whose
            head is then new (docs/training.md); random weights if not given.
        epochs: passes over the training split; 8 if not given, on small sets as many as 400 steps
            take.
        batch_size: samples a step; 128 if not given, 32 on sets of fewer than 10,000 samples, and
            fewer where these do not fill four batches.
        learning_rate: the highest of the schedule; 0.2 if not given, 0.02 for a model without batch
            norm or recurrent layers, and 0.002 with adamw; a tenth of that with `weights`, and less
            in proportion where samples are too few for the usual batch.
        seed: of weights, order and augmentation; the splits do not depend on it.
        resume: go on where an earlier call stopped, or return its record if it had finished.
        task: what the model is for, by name, file or as it is (docs/tasks.md).
        options: `optimizer`, `schedule`, `weight_decay`, `clip_norm`, `ema_decay`, `amp`, `device`
            and `accumulate` (docs/training.md).

    Returns:
        The record of `train.json`: scores in the unit of its `metric`, seconds, settings, versions.

    Raises:
        UsageError: an unknown model or data set, or a setting that is out of range.
        ModelError: the model cannot be built, or does not return what the task is about.
        DataError: the data set is missing, too small or of the wrong shape.
        RunFolderError: `out` holds anything else, or cannot be written.
        TrainingError: training diverged.

    Example:
        >>> import edgespiral
        >>> record = edgespiral.train_teacher("resnet8", "digits", out="runs/teacher", epochs=0.25)
        >>> record.model, 0 <= record.test_score <= 100
        ('resnet8', True)
    """
    from edgespiral import teacher

    return teacher.train_teacher(
        model,
        data,
        teacher.TeacherOptions(epochs, batch_size, learning_rate, seed, options),
        out=Path(out),
        weights=None if weights is None else Path(weights),
        resume=resume,
        task=task,
    )


def measure_models(models: Sequence[str | Path], *, target: str = "host-cpu") -> list[Measurement]:
    """Measure models on a target, taking turns round by round; see `edgespiral measure`.

    Args:
        models: ONNX files or run folders, at least one.
        target: a target's name, or the path of its profile.

    Returns:
        One record a model, in the order given: the median in milliseconds with its 95 % interval
        (`stats`), every sample (`rounds_ms`), and what measured it (`fingerprint`).

    Raises:
        UsageError: there is no such target, or its file is wrong.
        ModelError: a model is missing, or cannot be loaded or run there.
        TargetError: the device or its runtime cannot be used.
        MeasurementError: no answer, or none to be trusted.

    Example:
        >>> import edgespiral
        >>> from torch import nn
        >>> net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).eval()
        >>> _ = edgespiral.export_model(net, "digits", "net.onnx")
        >>> [latency] = edgespiral.measure_models(["net.onnx"])
        >>> latency.stats.p50_ms > 0
        True
    """
    from edgespiral.measure import models as timing

    return timing.measure_models([Path(model) for model in models], target)


def export_model(
    model: nn.Module,
    data: DataSplits | Mapping[str, Any] | str,
    path: str | Path,
    *,
    precision: Precision = "fp32",
    recipe: str = "default",
    task: Task | str = DEFAULT,
) -> Parity:
    """Export a model to ONNX, and check the file against PyTorch on the validation split.

    Args:
        model: a module that returns what the task is about, such as logits of shape (N, classes).
        data: three splits in memory, the mapping that a factory may return, or what `--data`
            takes. Inputs have its shape, with a batch of one; int8 is calibrated on its training
            split.
        path: the ONNX file that is written. A lower precision leaves the float one beside it.
        precision: fp32, fp16 or int8 (docs/precision.md).
        recipe: how int8 is calibrated, by name or file.
        task: what the model is for, by name, file or as it is (docs/tasks.md).

    Returns:
        How the file's outputs compare with PyTorch's: the largest difference, the share of
        decisions that are the same (from 0 to 1), and the ratio of signal to noise in dB.

    Raises:
        UsageError: there is no such data set or recipe.
        DataError: the data cannot be calibrated on.
        ModelError: the outputs are not the task's, or depend on what else is in a batch.
        ExportError: the model has no ONNX form, or the file does not compute what PyTorch does; no
            file is left then.
        RunFolderError: the file cannot be written.

    Example:
        >>> import edgespiral
        >>> from torch import nn
        >>> net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).eval()
        >>> edgespiral.export_model(net, "digits", "net.onnx").agreement
        1.0
    """
    from edgespiral.data import load
    from edgespiral.data.guard import watched
    from edgespiral.data.user import splits_of
    from edgespiral.export.precision import ExportRequest, export_as, owning_twin
    from edgespiral.export.recipe import load_recipe
    from edgespiral.models import one_output
    from edgespiral.models.accept import folded, unwrapped
    from edgespiral.models.independence import check_answers
    from edgespiral.tasks import resolved

    aim = resolved(task)
    aim, splits = aim.fitted(load(data) if isinstance(data, str) else splits_of(data, "data"))
    splits = watched(splits, aim.target_problem)
    aim.check_data(splits)
    network, aim = aim.prepared(unwrapped(model), splits)
    plain, _ = folded(one_output(network, splits, aim.main_output))
    check_answers(plain, splits, aim.check_outputs)
    samples = len(splits.validation)
    request = ExportRequest(precision, recipe=load_recipe(recipe), samples=samples, task=aim)
    with owning_twin(Path(path), precision):
        return export_as(plain, Path(path), splits, request).parity


def load_model(folder: str | Path) -> nn.Module:
    """Load the compressed PyTorch model of a run folder, with its weights.

    It runs the folder's `model.py`: load only folders that you trust as you would a program.

    Args:
        folder: a run folder, or another one with `model.py` and `model.safetensors`.

    Returns:
        The model on the CPU, in eval mode.

    Raises:
        ModelError: the folder has no such model, or its files do not fit each other.

    Example:
        >>> import edgespiral, torch
        >>> small = edgespiral.load_model("runs/small")
        >>> small(torch.zeros(1, 8)).shape
        torch.Size([1, 2])
    """
    return saved.load_model(Path(folder))
