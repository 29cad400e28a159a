"""`edgespiral cut`: a smaller model for a training loop of one's own."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 (typer reads it)
from typing import TYPE_CHECKING, Annotated

import typer

from edgespiral.cli import options  # noqa: TC001 (typer reads it)
from edgespiral.cli.terminal import tell
from edgespiral.cli.verbs.inspect import model_named, stated_shape, stated_splits
from edgespiral.core.errors import RunFolderError, UsageError
from edgespiral.core.text import is_whole, shortened
from edgespiral.tasks import DEFAULT

if TYPE_CHECKING:
    from torch.fx import GraphModule

    from edgespiral.core.batches import DataSplits
    from edgespiral.core.nested import Tensors

MOST_CHANNELS = 10**9


def cut(
    model: Annotated[
        str, typer.Argument(help="A zoo name, path/to/file.py:factory or a run folder's model.")
    ],
    *,
    out: Annotated[Path, typer.Option(help="The folder for model.py and model.safetensors.")],
    fraction: Annotated[
        float | None, typer.Option(help="Of every group's channels that leave, such as 0.5.")
    ] = None,
    width: Annotated[
        list[str] | None,
        typer.Option(
            metavar="GROUP=N",
            help="Or how many channels a group of `edgespiral inspect` keeps; again for others.",
        ),
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Data to score channels by, as for compress.")
    ] = None,
    input_shape: Annotated[
        str | None, typer.Option(help="Or the sizes of an input alone, such as 3x224x224.")
    ] = None,
    tokens: options.Tokens = None,
    weights: options.Weights = None,
    criterion: Annotated[
        str | None,
        typer.Option(help="What a channel is worth.", show_default="fisher, without data l1"),
    ] = None,
    multiple: Annotated[int, typer.Option(min=1, help="Widths are multiples of it.")] = 1,
    pruner: Annotated[str, typer.Option(help="What takes channels out.")] = "auto",
    task: options.TaskName = DEFAULT,
    seed: Annotated[int, typer.Option(min=0, help="Of what is drawn at random.")] = 0,
) -> None:
    """Take channels out of a model, check that the rest computes the same, and train nothing."""
    shape = stated_shape(data, input_shape, "cut")
    widths = _widths(width)
    from edgespiral.spiral.cutting import cut as cut_model

    _check(model, weights, out)
    splits = stated_splits(data)
    module = model_named(model, weights, splits, shape, tokens)
    example = _example(shape, tokens, splits)
    smaller = cut_model(
        module,
        None if data else example,
        fraction=fraction,
        widths=widths,
        criterion=criterion,
        data=splits,
        task=task,
        multiple=multiple,
        pruner=pruner,
        seed=seed,
    )
    _write(smaller, out, example)


def _check(model: str, weights: Path | None, out: Path) -> None:
    from edgespiral.models import names

    if weights is None and model in names():
        raise UsageError(
            f"{model} comes without trained weights",
            where="--weights",
            hint="name the .safetensors or .pt file that has them",
        )
    if out.is_dir() and any(out.iterdir()):
        raise RunFolderError("the folder is not empty", where=str(out), hint="name another --out")


def _write(smaller: GraphModule, out: Path, example: Tensors) -> None:
    from edgespiral.core.system.files import make_folder
    from edgespiral.models.saved import SOURCE, save_model, trace
    from edgespiral.spiral.cutting import FACTS

    facts = smaller.meta[FACTS]
    save_model(trace(smaller, example), make_folder(out), example=example)
    for name, before in facts.before.items():
        tell(f"{name}: {before} -> {facts.after[name]}")
    size = f"{facts.parameters_after:,} of {facts.parameters_before:,} parameters"
    tell(f"{out / SOURCE}: {size}, cut by {facts.engine}")
    tell(f"the masked model's outputs differ by {facts.difference:.0e} of the largest")


def _example(shape: tuple[int, ...], tokens: int | None, splits: DataSplits | None) -> Tensors:
    from edgespiral.models.example_inputs import example_input, example_of

    if splits is not None:
        return example_of(splits)
    return example_input(shape, token_count=tokens)


def _widths(words: list[str] | None) -> dict[str, int] | None:
    """Widths by group, as the flags have them.

    Raises:
        UsageError: one is not GROUP=N, or a group is named twice.
    """
    if not words:
        return None
    widths: dict[str, int] = {}
    for text in words:
        name, _, number = text.rpartition("=")
        if not name or not is_whole(number, 0, MOST_CHANNELS):
            raise UsageError(
                f"not GROUP=N: {shortened(text)!r}", where="--width", hint="--width conv1=8"
            )
        if name in widths:
            raise UsageError(f"given twice for {name}", where="--width")
        widths[name] = int(number)
    return widths
