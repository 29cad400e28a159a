"""The parts of a model as ONNX files beside that of the whole, which names them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx

from edgespiral.core.errors import UsageError
from edgespiral.core.nested import apart, rows
from edgespiral.core.records.parts import PARTS, PartFile, described
from edgespiral.core.system.files import replacing, sha256_file
from edgespiral.export.onnx import export_onnx
from edgespiral.export.parity import check_parity
from edgespiral.tasks.base import Task

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Literal

    from edgespiral.core.records.parts import Part
    from edgespiral.core.records.schema import Precision

# What goes from part to part are no decisions.
PLAIN = Task()


def write_parts(whole: Path, parts: Sequence[Part]) -> list[Path]:
    """Write each part beside the file of the whole model, and into its metadata which they are.

    The part `encoder` of `model.onnx` is `model.encoder.onnx`.

    Args:
        whole: an ONNX file.
        parts: of the same model; of their inputs the first sample is looked at.

    Returns:
        The parts' files; none where there are no parts, and `whole` is as it was then.

    Raises:
        ExportError: a part has no ONNX form.
        RunFolderError: a file cannot be written.
    """
    files = [whole.with_name(f"{whole.stem}.{part.name}.onnx") for part in parts]
    for part, file in zip(parts, files, strict=True):
        export_onnx(part.module, file, example=rows(part.inputs, slice(1)))
    if files:
        records = [
            PartFile(part.name, file.name, part.count, sha256_file(file))
            for part, file in zip(parts, files, strict=True)
        ]
        model = onnx.load(whole)
        model.metadata_props.add(key=PARTS, value=described(records))
        with replacing(whole) as temporary:
            onnx.save(model, temporary)
    return files


def check_parts(files: Sequence[Path], parts: Sequence[Part]) -> None:
    """Hold each part's file against PyTorch, on all samples of its inputs.

    Raises:
        ExportError: one is too far from it.
    """
    for part, file in zip(parts, files, strict=True):
        check_parity(part.module, file, apart(part.inputs), task=PLAIN)


def require_float(part_names: Sequence[str], precision: Precision | Literal["auto"] | None) -> None:
    """Refuse a lower precision for a model of parts, which is written in fp32 alone.

    None is for what is not said yet.

    Raises:
        UsageError: it is asked for.
    """
    if part_names and precision not in (None, "fp32"):
        raise UsageError(
            f"a model that runs in parts ({', '.join(part_names)}) is exported in fp32 alone",
            where=f"--precision {precision}",
            hint="leave it out",
        )
