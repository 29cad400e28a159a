"""`edgespiral export`: ONNX from a PyTorch model, checked against it."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
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
) -> None:
    """Write a model as ONNX and check it against PyTorch on validation samples."""
    from edgespiral.core.files import make_folder
    from edgespiral.data import load
    from edgespiral.export.onnx import export_onnx
    from edgespiral.export.parity import check_parity

    splits = load(data)
    module = _model(model, weights, splits)
    make_folder(out.parent)
    export_onnx(module, out, input_shape=splits.input_shape)
    batches = islice(splits.validation.epoch(batch_size=1), samples)
    parity = check_parity(module, out, (inputs for inputs, _ in batches))
    typer.echo(
        f"{out}: {parity.samples} samples, top-1 agrees on {parity.top1_agreement:.1%}, "
        f"largest difference {parity.max_abs_difference:.2g}"
    )


def _model(spec: str, weights: Path | None, splits: DataSplits) -> nn.Module:
    from edgespiral.core import artifact
    from edgespiral.zoo.load import load_model

    if (Path(spec) / artifact.SOURCE).is_file():
        return artifact.load_model(Path(spec))
    classes = len(splits.class_names)
    return load_model(spec, weights=weights, classes=classes, input_shape=splits.input_shape)
