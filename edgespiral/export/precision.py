"""One model in one precision: exported, converted, and checked against PyTorch."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from onnx import TensorProto

from edgespiral.core.batches import first_inputs
from edgespiral.core.errors import EdgeSpiralError, UsageError
from edgespiral.core.nested import joined
from edgespiral.core.system.files import (
    is_file,
    make_folder,
    parse_json,
    read_bytes,
    write_text,
)
from edgespiral.data.stratified import parts_of
from edgespiral.export.fp16 import write_fp16
from edgespiral.export.graph import file_sha256, load_graph
from edgespiral.export.int8.calibration import prepare
from edgespiral.export.int8.convert import write_int8
from edgespiral.export.int8.ranges import placeholder_ranges
from edgespiral.export.onnx import export_onnx
from edgespiral.export.parity import LIMITS, Reference, check_parity
from edgespiral.export.parts import check_parts, require_float, write_parts
from edgespiral.export.recipe import load_recipe
from edgespiral.models.modes import evaluating

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from torch import nn

    from edgespiral.core.batches import DataSplits
    from edgespiral.core.nested import Tensors
    from edgespiral.core.records.exported import DeviceCheck, Parity, Quantisation, RestoredLayer
    from edgespiral.core.records.schema import Precision
    from edgespiral.export.int8.calibration import Calibrated
    from edgespiral.export.int8.convert import Form
    from edgespiral.export.nearness import ParityLimits
    from edgespiral.export.recipe import Recipe
    from edgespiral.tasks.base import Task

# How many validation samples an export is checked on where nothing else is said.
PARITY_SAMPLES = 64
PARITY_PARTS = 8


@dataclass(frozen=True)
class ExportRequest:
    """What an export is to be.

    Attributes:
        recipe: how int8 is calibrated; its samples are from the data that the export is given.
        form: the runtime that int8 is for.
        samples: validation samples that the export is checked on.
        cache: folder of calibration ranges; None keeps none.
        known_data: the data were found to be the model's before, and a student that has learnt too
            little is no reason to doubt them.
        task: which says how far outputs are apart.
    """

    precision: Precision = "fp32"
    recipe: Recipe = field(default_factory=lambda: load_recipe("default"))
    form: Form = "onnxruntime"
    samples: int = PARITY_SAMPLES
    cache: Path | None = None
    known_data: bool = False
    task: Task = field(kw_only=True)


@dataclass(frozen=True)
class Exported:
    """A checked export, and how it was quantised if it is int8."""

    parity: Parity
    calibrated: Calibrated | None = None
    quantisation: Quantisation | None = None


def float_twin(path: Path) -> Path:
    """Where the float32 file lies that the file at `path` was made from."""
    return path.with_name(f"{path.stem}.float.onnx")


def export_as(model: nn.Module, path: Path, data: DataSplits, request: ExportRequest) -> Exported:
    """Write `model` to `path` in the precision asked for, and check it on validation samples.

    A lower precision leaves the float32 file beside it (`float_twin`), and int8 a record (`.json`).
    Of a model of parts theirs are written and checked, too (`parts.write_parts`).

    Raises:
        ExportError: no ONNX form, an overflow, or too far from PyTorch; `path` is not left then.
        DataError, UsageError: as `calibration.prepare` and `require_record_place`; or a model of
            parts in a lower precision.
        ModelError: it cannot be taken into the parts of its task.
        RunFolderError: a file cannot be written.
    """
    require_float(request.task.part_names, request.precision)
    make_folder(path.parent)
    source = path if request.precision == "fp32" else float_twin(path)
    if request.precision == "int8":
        require_record_place(path)
    with leaving_none(path):
        with leaving_none(source):
            example = first_inputs(data, 1)
            export_onnx(model, source, example=example, output=request.task.output_name)
            samples = validation_samples(data, request.samples)
            parity = check_parity(model, source, samples, task=request.task)
            with evaluating(model):
                parts = request.task.parts(model, joined(samples))
                check_parts(write_parts(source, parts), parts)
        if request.precision == "fp32":
            return Exported(parity)
        if request.precision == "int8":
            return _int8(model, path, data, request)
        write_fp16(source, path, samples)
        limits = LIMITS[request.precision]
        parity = check_parity(model, path, samples, task=request.task, limits=limits, source=source)
        return Exported(parity)


@contextmanager
def leaving_none(path: Path) -> Iterator[None]:
    """Remove `path` and its record if anything inside fails, whoever wrote it.

    A file that failed its check, or an older one, must not be taken for one that passed. A link
    or a folder in its place stays, and so does what is no record in the record's.
    """
    try:
        yield
    except BaseException:
        for file in (path, *([record_path(path)] if _has_record(path) else [])):
            if not file.is_symlink() and is_file(file):
                file.unlink(missing_ok=True)
        raise


def record_path(path: Path) -> Path:
    """Where the record of the int8 file at `path` lies."""
    return path.with_suffix(".json")


def require_record_place(path: Path) -> None:
    """Refuse an int8 file whose record would take the place of something else.

    Raises:
        UsageError: so it would, of the int8 file itself or of what somebody else keeps there.
    """
    record = record_path(path)
    if record == path or (os.path.lexists(record) and not _has_record(path)):
        raise UsageError(
            f"the record of {path.name} would be written there, and something else has this name",
            where=str(record),
            hint="move it away, or name another .onnx file",
        )


@contextmanager
def owning_twin(path: Path, precision: Precision) -> Iterator[None]:
    """Have the name of a float twin for what is exported to `path`, and none left where it fails.

    Raises:
        UsageError: a file has this name that no earlier export to `path` has left.
    """
    if precision == "fp32":
        yield
        return
    twin = float_twin(path)
    if os.path.lexists(twin) and not _is_twin(twin, path):
        raise UsageError(
            f"the float file of {path.name} would be written there, and something else has this "
            "name",
            where=str(twin),
            hint="move it away, or name another .onnx file",
        )
    with leaving_none(twin):
        yield


def _is_twin(twin: Path, path: Path) -> bool:
    """Whether what lies at `path` was made of `twin`."""
    if not (is_file(twin) and is_file(path)):
        return False
    record = _record(path)
    if record is not None:
        return record.get("source_sha256") == file_sha256(twin)
    with suppress(EdgeSpiralError):
        kinds = {tensor.data_type for tensor in load_graph(path).graph.initializer}
        return TensorProto.FLOAT16 in kinds
    return False


def _has_record(path: Path) -> bool:
    """Whether what lies in the record's place is one, of whatever version."""
    return _record(path) is not None


def _record(path: Path) -> dict[str, object] | None:
    try:
        record = parse_json(read_bytes(record_path(path)))
    except (OSError, ValueError):
        return None
    if isinstance(record, dict) and {"precision", "recipe_sha256", "layers"} <= record.keys():
        return record
    return None


def write_checked(
    model: nn.Module,
    calibrated: Calibrated,
    path: Path,
    samples: Sequence[Tensors],
    restored: Sequence[RestoredLayer] = (),
    *,
    limits: ParityLimits = LIMITS["int8"],
) -> Quantisation:
    """Write an int8 file, check it against PyTorch, and put its record beside it (`.json`).

    Args:
        model: what the file is to agree with.
        samples: to check on, of batch 1.
        restored: layers that stay in float.
        limits: how far.

    Raises:
        ExportError: too far from PyTorch.
        RunFolderError: a file cannot be written.
    """
    with leaving_none(path):
        left_float = calibrated.write(path, [layer.layer for layer in restored])
        parity = check_parity(
            model, path, samples, task=calibrated.task, limits=limits, source=calibrated.source
        )
        return _recorded(calibrated, path, left_float, restored, parity)


def write_like_float(
    calibrated: Calibrated,
    path: Path,
    samples: Sequence[Tensors],
    restored: Sequence[RestoredLayer] = (),
    *,
    check: Callable[[Path], DeviceCheck] | None = None,
) -> Quantisation:
    """As `write_checked`, where there is no PyTorch model: the float file is what to agree with.

    Args:
        check: judges the file on its device too.

    Raises:
        ExportError: too far from the float file; nothing is left at `path` then.
        RunFolderError: a file cannot be written.
        What `check` raises; nothing is left then either.
    """
    with leaving_none(path):
        left_float = calibrated.write(path, [layer.layer for layer in restored])
        parity = Reference(calibrated.source, samples, calibrated.task).check(path)
        on_device = None if check is None else check(path)
        return _recorded(calibrated, path, left_float, restored, parity, device_check=on_device)


def _recorded(
    calibrated: Calibrated,
    path: Path,
    left_float: Mapping[str, str],
    restored: Sequence[RestoredLayer],
    parity: Parity,
    *,
    device_check: DeviceCheck | None = None,
) -> Quantisation:
    update = {"parity": parity, "device_check": device_check}
    record = calibrated.record(path, left_float, restored).model_copy(update=update)
    write_text(record_path(path), record.model_dump_json(indent=2) + "\n")
    return record


def convert_untrained(source: Path, precision: Precision, form: Form) -> Path:
    """A stand-in for what `source` will be in `precision` once it is trained; to be measured only.

    Latency does not depend on the numbers, so nothing is calibrated and nothing checked. The file
    lies beside `source`; in fp32 it is `source` itself.

    Raises:
        ExportError: it cannot be converted.
    """
    path = source.with_suffix(f".{precision}.onnx")
    if precision == "int8":
        write_int8(source, path, placeholder_ranges(source), form=form)
    elif precision == "fp16":
        write_fp16(source, path, [])
    return source if precision == "fp32" else path


def _int8(model: nn.Module, path: Path, data: DataSplits, request: ExportRequest) -> Exported:
    calibrated = prepare(
        float_twin(path),
        data,
        request.recipe,
        form=request.form,
        cache=request.cache,
        known_data=request.known_data,
        task=request.task,
    )
    record = write_checked(model, calibrated, path, validation_samples(data, request.samples))
    assert record.parity is not None
    return Exported(record.parity, calibrated, record)


def validation_samples(data: DataSplits, count: int) -> list[Tensors]:
    """`count` validation inputs from all over the split, or all of fewer, in batches of 1."""
    parts = parts_of(data.validation, count, parts=PARITY_PARTS)
    return [inputs for part in parts for inputs, _ in part]
