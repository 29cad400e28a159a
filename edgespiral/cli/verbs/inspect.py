"""`edgespiral inspect`: what can be cut of a model, and what holds the rest."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgespiral.cli import options  # noqa: TC001 (typer reads it)
from edgespiral.cli.terminal import Terminal, tell, tell_json
from edgespiral.core.errors import UsageError
from edgespiral.core.text import is_whole, shortened

if TYPE_CHECKING:
    from torch import nn

    from edgespiral.core.batches import DataSplits

CLASSES = 10
# Of one input: a gigabyte of float32.
MOST_NUMBERS = 2**28


def inspect(
    model: Annotated[
        str, typer.Argument(help="A zoo name, path/to/file.py:factory or a run folder's model.")
    ],
    *,
    data: Annotated[
        str | None, typer.Option(help="Data that says what an input is, as for compress.")
    ] = None,
    input_shape: Annotated[
        str | None, typer.Option(help="Or its sizes without the batch, such as 3x224x224.")
    ] = None,
    tokens: options.Tokens = None,
    weights: options.Weights = None,
    html: Annotated[Path | None, typer.Option(help="Write it as a page, too.")] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print the record instead of the tables.")
    ] = False,
) -> None:
    """Show groups of channels, branches, what stays and why, and which engines can cut a model."""
    shape = stated_shape(data, input_shape, "inspect")
    from edgespiral.core.batches import first_inputs
    from edgespiral.core.system.analysis_limit import analysing
    from edgespiral.core.system.files import write_page
    from edgespiral.models.example_inputs import example_input, example_of
    from edgespiral.models.saved import trace
    from edgespiral.prune.prunable import PrunableModel
    from edgespiral.report.inspection import inspection_html, print_inspection
    from edgespiral.spiral.inspecting import inspect as inspect_teacher

    splits = stated_splits(data)
    module = model_named(model, weights, splits, shape, tokens)
    if splits is not None:
        shape, tokens = splits.input_shape, splits.token_count
        inputs, example = first_inputs(splits), example_of(splits)
    else:
        inputs = example = example_input(shape, token_count=tokens)
    with analysing():
        graph = trace(module, inputs)
        teacher = PrunableModel.of(
            graph, shape, token_count=tokens, may_be_uncuttable=True, example=example
        )
    inspection = inspect_teacher(teacher, model)
    if json:
        tell_json(inspection.model_dump_json(indent=2))
    else:
        print_inspection(inspection, Terminal())
    if html is not None:
        write_page(html, inspection_html(inspection))
        tell(f"page: {html}", err=json)


def stated_shape(data: str | None, stated: str | None, verb: str) -> tuple[int, ...]:
    """The sizes that `--input-shape` states; none where data say what an input is.

    Raises:
        UsageError: not one of the two is given, or no sizes.
    """
    if (data is None) == (stated is None):
        raise UsageError(
            "give one of --data and --input-shape", where=verb, hint="--input-shape 3x224x224"
        )
    if stated is None:
        return ()
    parts = stated.lower().replace(",", "x").split("x")
    if not all(is_whole(part.strip(), 1, MOST_NUMBERS) for part in parts):
        raise UsageError(
            f"not sizes: {shortened(stated)!r}",
            where="--input-shape",
            hint="write them as 3x224x224",
        )
    sizes = tuple(int(part) for part in parts)
    if math.prod(sizes) > MOST_NUMBERS:
        what = f"{stated} are {math.prod(sizes):.1e} numbers, more than {MOST_NUMBERS:.1e}"
        raise UsageError(what, where="--input-shape")
    return sizes


def stated_splits(data: str | None) -> DataSplits | None:
    """The data that `--data` names, if it was given."""
    from edgespiral.data import load

    return None if data is None else load(data)


def model_named(
    spec: str,
    weights: Path | None,
    splits: DataSplits | None,
    shape: tuple[int, ...],
    tokens: int | None,
) -> nn.Module:
    """The model that `spec` names: a run folder's, or built and with its weights."""
    from edgespiral.models import load_model, load_model_for, saved

    if Path(spec).is_dir():
        return saved.load_model(Path(spec))
    if splits is not None:
        return load_model_for(splits, spec, weights=weights)
    return load_model(spec, weights=weights, classes=CLASSES, input_shape=shape, token_count=tokens)
