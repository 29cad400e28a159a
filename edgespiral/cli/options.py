"""The options that a plan is made of, as the command line shows them.

Each is None where it is not given, so that a plan file can be told from a flag; the defaults shown
are the plan's own (a test holds the two together).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgespiral.core.errors import UsageError
from edgespiral.prune.engines import AUTO, PRUNING_ENGINES
from edgespiral.prune.scoring.criteria import CRITERIA

if TYPE_CHECKING:
    from collections.abc import Sequence


def any_of(names: Sequence[str]) -> str:
    """Names of plug-ins in a help text, which is made before others' packages are looked at."""
    return f"{', '.join(names)} or another of `edgespiral plugins`"


BUDGET = "Budget (one of latency and speed-up)"
CUTTING = "Cutting"
DISTILLATION = "Distillation"

Model = Annotated[
    str | None,
    typer.Argument(
        help="A zoo, torchvision or timm/ name, or path/to/file.py:factory.", show_default=False
    ),
]
Data = Annotated[
    str | None,
    typer.Option(
        help="digits, cifar10, fashion-mnist, folder:PATH, masks:PATH or path/to/file.py:factory."
    ),
]
Task = Annotated[
    str | None,
    typer.Option(
        help="What MODEL is for: classification, segmentation or path/to/file.py:factory.",
        show_default="classification",
    ),
]
TaskName = Annotated[
    str,
    typer.Option(
        help="What MODEL is for: classification, segmentation or path/to/file.py:factory."
    ),
]
Weights = Annotated[
    Path | None, typer.Option(help="The trained weights of MODEL: .safetensors or .pt.")
]
Targets = Annotated[
    list[str] | None,
    typer.Option(
        help="The device: a target's name or file. Give it again for further devices.",
        show_default="host-cpu",
    ),
]
Precision = Annotated[
    str | None,
    typer.Option(
        help="Of what ships: fp32, fp16, int8, or auto (the teacher is measured in each).",
        show_default="the target's",
    ),
]
Recipe = Annotated[
    str | None,
    typer.Option(help="How int8 is calibrated: a recipe's name or file.", show_default="default"),
]
Qat = Annotated[
    str | None,
    typer.Option(
        help="Train an int8 student on with its rounding: auto (where it lost 0.3 points), never "
        "or always.",
        show_default="auto",
    ),
]
DeviceSamples = Annotated[
    int | None,
    typer.Option(
        help="Validation samples that what ships is run on, on its device; 0: none.",
        show_default="512",
    ),
]
Out = Annotated[
    Path | None, typer.Option(help="Run folder.", show_default="runs/MODEL-DATA-TARGET")
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with the run that is in the run folder.")
]
Config = Annotated[Path | None, typer.Option(help="A plan file; flags override what it says.")]

LatencyMs = Annotated[
    list[str] | None,
    typer.Option(
        metavar="[TARGET=]MS",
        help="Median latency to reach, in milliseconds; TARGET=MS for one of several targets.",
        rich_help_panel=BUDGET,
    ),
]
Speedup = Annotated[
    list[str] | None,
    typer.Option(
        metavar="[TARGET=]TIMES",
        help="Or: how many times as fast as the teacher; TARGET=TIMES for one of several.",
        rich_help_panel=BUDGET,
    ),
]
LatencyCache = Annotated[
    Path | None,
    typer.Option(
        help="Folder of latencies that earlier runs measured.",
        show_default="~/.cache/edgespiral/latency",
    ),
]
MaxDrop = Annotated[
    float | None,
    typer.Option(
        help="What the metric may lose on the validation split, in its unit (accuracy: points).",
        show_default="2.0",
        rich_help_panel=BUDGET,
    ),
]

Turns = Annotated[
    str | None,
    typer.Option(
        help="Turns of the spiral: a number, or auto.",
        show_default="auto",
        rich_help_panel=CUTTING,
    ),
]
Criterion = Annotated[
    str | None,
    typer.Option(
        help=f"What a channel is worth: {any_of(CRITERIA.built_in())}.",
        show_default="fisher",
        rich_help_panel=CUTTING,
    ),
]
Pruner = Annotated[
    str | None,
    typer.Option(
        help=f"What takes channels out: {any_of([*PRUNING_ENGINES.built_in(), AUTO])}.",
        show_default="auto",
        rich_help_panel=CUTTING,
    ),
]
Allocation = Annotated[
    str | None,
    typer.Option(
        help="How widths are chosen: latency (importance lost per ms saved), global or uniform.",
        show_default="latency",
        rich_help_panel=CUTTING,
    ),
]
Sparsity = Annotated[
    str | None,
    typer.Option(
        help="Zeros among the weights that are left: a share such as 0.8, 2:4, or none.",
        show_default="none",
        rich_help_panel=CUTTING,
    ),
]

Epochs = Annotated[
    float | None,
    typer.Option(
        help="Passes over the data in the whole run, shared by its turns.",
        show_default="4.0",
        rich_help_panel=DISTILLATION,
    ),
]
Teacher = Annotated[
    str | None,
    typer.Option(
        help="Who teaches: original, previous (the last turn's student) or both.",
        show_default="original",
        rich_help_panel=DISTILLATION,
    ),
]
Temperature = Annotated[
    float | None,
    typer.Option(
        help="Softens the outputs of both nets.",
        show_default="4.0",
        rich_help_panel=DISTILLATION,
    ),
]
Alpha = Annotated[
    float | None,
    typer.Option(
        help="Weight of the teacher against the labels, from 0 to 1.",
        show_default="0.9",
        rich_help_panel=DISTILLATION,
    ),
]
BatchSize = Annotated[
    int | None,
    typer.Option(help="Samples a step.", show_default="128", rich_help_panel=DISTILLATION),
]
LearningRate = Annotated[
    float | None,
    typer.Option(help="Highest rate of the schedule.", rich_help_panel=DISTILLATION),
]
Augment = Annotated[
    bool | None,
    typer.Option(
        "--augment/--no-augment",
        help="Show students random views of the training samples, as their teacher had.",
        show_default="no-augment",
        rich_help_panel=DISTILLATION,
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(help="Of everything random.", show_default="0", rich_help_panel=DISTILLATION),
]


def budget(flag: str, given: list[str] | None) -> float | dict[str, float] | None:
    """The budget that `flag` gives: a number for all targets, or one for each by its name.

    Raises:
        UsageError: not a number, a target twice, or a number for all beside others.
    """
    parts = [one.rpartition("=") for one in given or ()]
    pairs = [(name, _number(flag, value)) for name, _, value in parts]
    named = dict(pairs)
    if len(named) < len(pairs):
        twice = next(name for name, _ in pairs if [n for n, _ in pairs].count(name) > 1)
        raise UsageError(f"given twice{f' for {twice}' if twice else ''}", where=flag)
    if "" not in named:
        return named or None
    if len(named) > 1:
        hint = "write TARGET=VALUE for every target, or one value for all"
        raise UsageError("a value for all targets beside those for some", where=flag, hint=hint)
    return named[""]


def _number(flag: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"not a number: {text!r}", where=flag) from None
