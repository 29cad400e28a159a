"""`edgespiral export`: ONNX from a PyTorch model, checked against it."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgespiral.core.errors import ExportError, UsageError

if TYPE_CHECKING:
    from torch import nn

    from edgespiral.core.batches import DataSplits
    from edgespiral.core.records import Parity


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
    from edgespiral.zoo import check_logits

    splits = load(data)
    module = _model(model, weights, splits)
    check_logits(module, splits)
    make_folder(out.parent)
    export_onnx(module, out, input_shape=splits.input_shape, dtype=splits.input_dtype)
    parity = _checked(module, out, splits, samples)
    typer.echo(
        f"{out}: {parity.samples} validation samples, top-1 agrees on {parity.top1_agreement:.1%}, "
        f"largest difference {parity.max_abs_difference:.2g}"
    )


def _model(spec: str, weights: Path | None, splits: DataSplits) -> nn.Module:
    from edgespiral.core import artifact
    from edgespiral.zoo import load_model, names

    by_name = spec in names()
    if by_name and weights is None:
        raise UsageError(
            f"{spec} comes without trained weights",
            where="--weights",
            hint="name the .safetensors or .pt file that has them",
        )
    if not by_name and Path(spec).is_dir():
        if weights is not None:
            raise UsageError("a folder has its own weights", where="--weights", hint="leave it out")
        return artifact.load_model(Path(spec))
    return load_model(
        spec,
        weights=weights,
        classes=len(splits.class_names),
        input_shape=splits.input_shape,
        token_count=splits.token_count,
    )


def _checked(module: nn.Module, path: Path, splits: DataSplits, samples: int) -> Parity:
    from edgespiral.export.parity import check_parity

    batches = islice(splits.validation.epoch(batch_size=1), samples)
    try:
        return check_parity(module, path, (inputs for inputs, _ in batches))
    except ExportError:
        # A file that failed its check must not be taken for one that passed.
        path.unlink()
        raise
