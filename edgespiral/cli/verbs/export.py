"""`edgespiral export`: ONNX from a PyTorch model, checked against it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from edgespiral.cli import options
from edgespiral.cli.terminal import tell
from edgespiral.core.errors import UsageError
from edgespiral.tasks import DEFAULT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from edgespiral.core.batches import DataSplits


def export(
    model: Annotated[
        str, typer.Argument(help="A zoo name, path/to/file.py:factory or a run folder.")
    ],
    *,
    data: Annotated[str, typer.Option(help="Data whose validation samples check the export.")],
    weights: Annotated[
        Path | None, typer.Option(help="The trained weights: .safetensors or .pt.")
    ] = None,
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("model.onnx"),
    samples: Annotated[int, typer.Option(min=1, help="Samples to compare on.")] = 64,
    precision: Annotated[
        Literal["fp32", "fp16", "int8"], typer.Option(help="Of weights and arithmetic.")
    ] = "fp32",
    recipe: Annotated[
        str, typer.Option(help="How int8 is calibrated: a recipe's name or file.")
    ] = "default",
    task: options.TaskName = DEFAULT,
    runtime: Annotated[
        Literal["onnxruntime", "tensorrt"], typer.Option(help="What an int8 file is for.")
    ] = "onnxruntime",
) -> None:
    """Write a model as ONNX and check it against PyTorch on validation samples."""
    from edgespiral.export.recipe import load_recipe

    int8_recipe = load_recipe(recipe)
    reads = (model, data, weights, recipe)
    options.require_not_read(out, reads)
    from edgespiral import tasks
    from edgespiral.data import load
    from edgespiral.data.guard import watched
    from edgespiral.export.precision import ExportRequest, export_as, owning_twin
    from edgespiral.measure.model_files import precision_of
    from edgespiral.models import one_output
    from edgespiral.models.accept import folded, unwrapped
    from edgespiral.models.independence import check_answers
    from edgespiral.report import formats

    aim, splits = tasks.load(task).fitted(load(data))
    splits = watched(splits, aim.target_problem)
    aim.check_data(splits)
    for file in _beside(out, precision, aim.part_names):
        options.require_not_read(file, reads)
    network, aim = aim.prepared(unwrapped(_model(model, weights, splits)), splits)
    module, lines = folded(one_output(network, splits, aim.main_output))
    for line in lines:
        tell(line)
    check_answers(module, splits, aim.check_outputs)
    request = ExportRequest(
        precision=precision, recipe=int8_recipe, form=runtime, samples=samples, task=aim
    )
    with owning_twin(out, precision):
        done = export_as(module, out, splits, request)
    tell(f"{out}: {precision_of(out)}, {formats.parity(done.parity)}")
    if done.quantisation:
        for layer, reason in sorted(done.quantisation.kept_float.items()):
            tell(f"in float: {layer} ({reason})")


def _beside(out: Path, precision: str, part_names: Sequence[str]) -> list[Path]:
    """What is written beside the file that is named."""
    from edgespiral.export.precision import float_twin, record_path

    parts = [out.with_name(f"{out.stem}.{part}.onnx") for part in part_names]
    return parts if precision == "fp32" else [*parts, float_twin(out), record_path(out)]


def _model(spec: str, weights: Path | None, splits: DataSplits) -> nn.Module:
    from edgespiral.models import is_built_untrained, load_model_for, saved

    by_name = is_built_untrained(spec)
    if by_name and weights is None:
        raise UsageError(
            f"{spec} comes without trained weights",
            where="--weights",
            hint="name the .safetensors or .pt file that has them",
        )
    if not by_name and Path(spec).is_dir():
        if weights is not None:
            raise UsageError("a folder has its own weights", where="--weights", hint="leave it out")
        return saved.load_model(Path(spec))
    return load_model_for(splits, spec, weights=weights, say=tell)
