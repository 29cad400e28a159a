"""`edgespiral train`: make a teacher."""

from __future__ import annotations

import re
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from edgespiral.cli import options
from edgespiral.cli.terminal import Terminal, command_line, tell
from edgespiral.core.system.invocation import tell_stopped
from edgespiral.tasks import DEFAULT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from edgespiral.distill.settings import Progress, TrainingOptions
    from edgespiral.teacher import TrainedTeacher


# Those of a plan that say how any training goes.
SHARED = (
    *("optimizer", "schedule", "weight_decay", "clip_norm", "ema_decay", "amp", "device"),
    "accumulate",
)
# From which on a training's length is said, and how much of it is seen before.
LONG_S, SEEN_S = 60, 5

BeginFrom = Annotated[
    Path | None,
    typer.Option(
        help="Weights to begin from, as of the same network on other classes; a head of another "
        "size is new."
    ),
]


@options.with_options(replace(options.PLAN_OPTIONS[name], group="") for name in SHARED)
def train(
    *,
    model: Annotated[str, typer.Argument(help="A zoo name or path/to/file.py:factory.")],
    flags: dict[str, object],
    data: Annotated[
        str,
        typer.Option(
            help="digits, cifar10, folder:PATH[?size=64], speech:, text:, ... or file.py:name."
        ),
    ],
    task: options.TaskName = DEFAULT,
    weights: BeginFrom = None,
    epochs: Annotated[
        float | None, typer.Option(help="Passes over the data. Default: 8, more on small sets.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Samples a step. Default: 128; 32 or fewer on small sets.")
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            help="Highest rate of the schedule. Default: 0.2 or 0.02 with sgd, 0.002 or 0.01 with "
            "adamw (docs/training.md); a tenth of that with --weights."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of weights, order and augmentation.", min=0)] = 0,
    out: Annotated[
        Path | None, typer.Option(help="Output folder. Default: runs/train-MODEL-DATA.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the training in the output folder.")
    ] = False,
) -> None:
    """Train a model on a data set: weights.safetensors and train.json."""

    from edgespiral.teacher import TeacherOptions, train_teacher

    folder = out if out is not None else default_folder(model, data)
    console = Terminal(stderr=True)
    others = {name: value for name, value in flags.items() if value is not None}
    asked = TeacherOptions(epochs, batch_size, learning_rate, seed, cast("TrainingOptions", others))
    try:
        with _bar(console) as heard:
            teacher = train_teacher(
                model,
                data,
                asked,
                out=folder,
                weights=weights,
                resume=resume,
                task=task,
                progress=heard,
                say=lambda line: console.print(line, markup=False, highlight=False),
            )
    except KeyboardInterrupt:
        tell_stopped(console, command_line())
        raise
    _show(teacher, folder)


def default_folder(model: str, data: str) -> Path:
    """`runs/train-MODEL-DATA`, with what does not belong in a file name replaced by a dash."""
    name = "-".join(re.sub(r"[^A-Za-z0-9._]+", "-", part).strip("-.") for part in (model, data))
    return Path("runs") / f"train-{name}"


@contextmanager
def _bar(console: Terminal) -> Iterator[Callable[[Progress], None]]:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Bars(*columns, console=console) as bars:
        task = bars.add_task("loading", total=None)
        moments: list[tuple[int, float]] = []

        def heard(progress: Progress) -> None:
            now = time.monotonic()
            if not moments or (len(moments) < 2 and now - moments[0][1] > SEEN_S):
                moments.append((progress.step, now))
                _tell_length(console, moments, progress.steps)
            text = f"loss {progress.loss:.3f}  {progress.samples_per_s:.0f} samples/s"
            bars.update(task, completed=progress.step, total=progress.steps, description=text)

        yield heard


def _tell_length(console: Terminal, moments: Sequence[tuple[int, float]], steps: int) -> None:
    """Say how long `steps` take, once two moments (steps done, seconds) are known."""
    from edgespiral.report import formats

    if len(moments) < 2:
        return
    (first, began), (done, now) = moments
    seconds = (steps - done) * (now - began) / (done - first)
    if seconds > LONG_S:
        console.print(
            f"about {formats.seconds(seconds)} to go here; --epochs makes it shorter, Ctrl-C stops "
            "it and --resume goes on",
            soft_wrap=True,
        )


def _show(teacher: TrainedTeacher, folder: Path) -> None:
    from edgespiral.teacher import WEIGHTS

    metric = teacher.metric
    tell(
        f"{teacher.model} on {teacher.data}: {metric.named(teacher.test_score)} test,"
        f" {metric.text(teacher.validation_score)} validation, {teacher.seconds:.0f} s"
    )
    if teacher.test_beside:
        tell(f"test {', '.join(figure.text for figure in teacher.test_beside)}")
    tell(f"weights: {folder / WEIGHTS}")
