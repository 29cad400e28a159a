"""The files that an ONNX model is made of."""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import TYPE_CHECKING

from google.protobuf.message import Message

from edgespiral.core.errors import MeasurementError, ModelError
from edgespiral.core.onnx_graph import EXTERNAL_MARK, all_nodes, all_tensors
from edgespiral.core.records.measurement import PartLatency
from edgespiral.core.records.parts import part_files, part_path
from edgespiral.core.statistics.stats import summarise
from edgespiral.core.system.files import is_file, kept_while_unchanged, read_bytes, sha256_files
from edgespiral.core.text import is_printable, shortened

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from onnx import ModelProto, TensorProto

    from edgespiral.core.records.measurement import LayerLatency
    from edgespiral.core.records.parts import PartFile
    from edgespiral.core.records.schema import Precision

MODEL = "model.onnx"
# TensorRT's built engines, by the endings that are customary.
ENGINES = (".engine", ".plan", ".trt")
# What stands in a file's place until Git LFS fetches it.
LFS_POINTER = b"version https://git-lfs"
# What protobuf, and so an ONNX file, can hold.
MOST_BYTES = 2**31
# Digits of a number of bytes that a disk can have.
LONGEST_COUNT = 18
# onnx.TensorProto's, without importing onnx.
FLOAT, FLOAT16 = 1, 10
OTHER_LABELS = {11: "fp64", 16: "bf16"}
# Operators of which each takes or makes 8-bit activations.
QUANTISED = (
    *("QuantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul"),
    *("ConvInteger", "MatMulInteger"),
)


def find_model(path: Path) -> Path:
    """The model that `path` names: a file is itself, a run folder its `model.onnx`.

    Raises:
        ModelError: there is none, or it is neither an ONNX model nor an engine.
    """
    is_folder = not is_file(path) and os.path.isdir(path)  # noqa: PTH112 (raises nothing)
    file = path / MODEL if is_folder else path
    if not is_file(file):
        what = f"no {MODEL} in this folder" if is_folder else "no such file"
        raise ModelError(what, where=str(path), hint="name an ONNX file or the folder of a run")
    if not is_engine(file):
        read_proto(file)
    return file


def is_engine(path: Path) -> bool:
    """Whether this is the name of a TensorRT engine, which only TensorRT can read."""
    return path.suffix.lower() in ENGINES


def model_files(path: Path) -> dict[str, Path]:
    """The model's file and those of its weights that are kept beside it, by relative name.

    Raises:
        ModelError: one of them is missing, lies elsewhere, or the model cannot be read.
    """
    if is_engine(path):
        return {path.name: path}
    files = {path.name: path}
    for name, least_bytes in _sizes_beside(path).items():
        part = path.parent / name
        if not part.resolve().is_relative_to(path.parent.resolve()) or not is_file(part):
            raise _no_weights(name, path)
        held_bytes = part.stat().st_size
        if least_bytes > held_bytes:
            what = f"its weights end at byte {least_bytes} of {name}, which has {held_bytes}"
            raise ModelError(what, where=str(path))
        files[name] = part
    return files


def all_files(path: Path) -> list[Path]:
    """Every file that belongs to a model: its own, its weights', its parts' and their weights'.

    What cannot be found is left out: it is told of when it is needed.
    """
    files = [path]
    with suppress(ModelError):
        for own in dict.fromkeys((path, *(timed.path for timed in timed_files(path)))):
            files += model_files(own).values()
    return files


@dataclass(frozen=True)
class TimedFile:
    """A file that is timed for a model: the model's own, or that of a part.

    Attributes:
        path: the file.
        count: how often it runs for a sample.
        part: the part's name; empty where it is all of the model.
    """

    path: Path
    count: int = 1
    part: str = ""

    def all_runs(self, rows: Sequence[LayerLatency]) -> list[LayerLatency]:
        """Times of layers in one run as those of all runs for a sample."""
        return [row.model_copy(update={"latency_ms": self.count * row.latency_ms}) for row in rows]


def timed_files(path: Path) -> tuple[TimedFile, ...]:
    """What is timed for a model: its file, or those of the parts that it names.

    Raises:
        ModelError: it cannot be read, or a part is missing or another file.
    """
    if is_engine(path) or not is_file(path):
        return (TimedFile(path),)
    files = [TimedFile(part_path(path, part), part.count, part.name) for part in _parts(path)]
    return tuple(files) or (TimedFile(path),)


@kept_while_unchanged
def _parts(path: Path) -> tuple[PartFile, ...]:
    return part_files(path, model_content(path))


def timed_bytes(path: Path) -> int:
    """The size of what runs on a device: a model's file, or those of its parts.

    Raises:
        ModelError: as `timed_files`.
    """
    return sum(file.path.stat().st_size for file in timed_files(path))


def part_latencies(
    files: Sequence[TimedFile], rounds_ms: Sequence[Sequence[Sequence[float]]]
) -> tuple[PartLatency, ...]:
    """The median of one run of each part, from its samples; nothing of a model that is whole.

    Raises:
        MeasurementError: as `stats.summarise`.
    """
    return tuple(
        PartLatency(name=file.part, count=file.count, p50_ms=summarise(own).p50_ms)
        for file, own in zip(files, rounds_ms, strict=True)
        if file.part
    )


def model_sha256(path: Path) -> str:
    """Hex SHA-256 of a model: of its file, or where weights lie beside it, of all its files.

    Raises:
        ModelError: as `model_files`.
        OSError: one of them cannot be read.
    """
    return sha256_files(model_files(path))


def model_content(path: Path) -> bytes:
    """The content of an ONNX file.

    Raises:
        ModelError: it cannot be read, is no regular file, or is longer than an ONNX file can be.
    """
    try:
        return read_bytes(path, MOST_BYTES)
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise _too_long(path) from error
        raise ModelError(f"cannot be read: {error.strerror}", where=str(path)) from error


def pushed_models(models: Sequence[Path]) -> tuple[dict[str, Path], list[str]]:
    """All files of some models by the names that they get on a device, and the models' names.

    Raises:
        ModelError: as `model_files`.
    """
    pushed: dict[str, Path] = {}
    for index, model in enumerate(models):
        pushed |= {f"model-{index}/{name}": part for name, part in model_files(model).items()}
    return pushed, [f"model-{index}/{model.name}" for index, model in enumerate(models)]


def precision_of(path: Path) -> Precision:
    """The precision that a model's file is written in, by its operators and weights.

    It is fp16 where at least half of the float weights are, wherever the file keeps them.

    Raises:
        ModelError: it cannot be read.
    """
    is_quantised, sizes = _numbers(path)
    if is_quantised:
        return "int8"
    return "fp16" if sizes[FLOAT16] and sizes[FLOAT16] >= sizes[FLOAT] else "fp32"


def precision_label(path: Path, precision: Precision) -> str:
    """What a figure of the file at `path`, run in `precision`, is to be called.

    A run knows three precisions; a file of another's making may be in float64 or bfloat16.

    Raises:
        ModelError: it cannot be read.
    """
    if precision != "fp32" or is_engine(path):
        return precision
    _, sizes = _numbers(path)
    most = max(sizes, key=lambda kind: sizes[kind])
    return OTHER_LABELS.get(most, precision)


@kept_while_unchanged
def _numbers(path: Path) -> tuple[bool, Mapping[int, int]]:
    """Whether a node takes or makes 8-bit activations, and the weights of each kind of float."""
    graph = read_proto(path).graph
    is_quantised = any(node.op_type in QUANTISED for node in all_nodes(graph))
    sizes = dict.fromkeys((FLOAT, FLOAT16, *OTHER_LABELS), 0)
    for tensor in all_tensors(graph):
        if tensor.data_type in sizes:
            sizes[tensor.data_type] += math.prod(tensor.dims)
    return is_quantised, MappingProxyType(sizes)


def external_names(content: bytes, path: Path) -> list[str]:
    """Names, relative to the model at `path` with this content, of the files with its weights.

    Raises:
        ModelError: it is neither an ONNX model nor an engine, or what it says of its weights'
            files is not to be followed.
    """
    return [] if is_engine(path) else sorted(_external_files(content, path))


@kept_while_unchanged
def _sizes_beside(path: Path) -> Mapping[str, int]:
    return MappingProxyType(_external_files(model_content(path), path))


def _external_files(content: bytes, path: Path) -> dict[str, int]:
    """By name, each file with weights of a model, and how many bytes it must have at least."""
    if EXTERNAL_MARK not in content:
        return {}
    from onnx.external_data_helper import uses_external_data

    sizes: dict[str, int] = {}
    for tensor in filter(uses_external_data, _tensors(model_proto(content, path))):
        entries = {entry.key: entry.value for entry in tensor.external_data}
        name = _name_beside(entries.get("location", ""), path)
        ends = [_byte_count(entries.get(key, "0"), key, path) for key in ("offset", "length")]
        sizes[name] = max(sizes.get(name, 0), sum(ends))
    return sizes


def _tensors(message: Message) -> Iterator[TensorProto]:
    """Every tensor in a model, however deep: in constants, in branches and in functions."""
    from onnx import TensorProto

    for _, value in message.ListFields():
        if isinstance(value, str | bytes):
            continue
        for part in value if isinstance(value, Sequence) else (value,):
            if isinstance(part, TensorProto):
                yield part
            elif isinstance(part, Message):
                yield from _tensors(part)


def _name_beside(name: str, path: Path) -> str:
    """`name`, if it is one of a file below the model's own folder, written plainly."""
    parts = PurePosixPath(name).parts
    if not is_printable(name) or not parts or ".." in parts or parts[0] == "/":
        raise _no_weights(name, path)
    return name


def _no_weights(name: str, path: Path) -> ModelError:
    return ModelError(
        f"the file of its weights is missing: {shortened(name) or 'no name is given'}",
        where=str(path),
        hint="weights lie in the model's own folder or below it",
    )


def _byte_count(text: str, key: str, path: Path) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= LONGEST_COUNT):
        raise ModelError(f"the {key} of its weights is {shortened(text, 40)!r}", where=str(path))
    return int(text)


def _too_long(path: Path) -> ModelError:
    return ModelError(
        "is not an ONNX model: longer than 2 GiB, which none can be",
        where=str(path),
        hint="keep its weights in files beside it",
    )


def model_proto(content: bytes, path: Path) -> ModelProto:
    """The model in a file's content, without weights that are kept beside it.

    Raises:
        ModelError: it is not an ONNX model.
    """
    from onnx import load_model_from_string

    if content.startswith(LFS_POINTER):
        raise ModelError("is only a Git LFS pointer", where=str(path), hint="git lfs pull gets it")
    try:
        model = load_model_from_string(content)
    except Exception as error:  # protobuf's own, which has no public home
        raise ModelError("is not an ONNX model", where=str(path)) from error
    if not model.HasField("graph"):  # nothing at all is valid, as all of it may be left out
        raise ModelError("is not an ONNX model: it has no graph", where=str(path))
    return model


def read_proto(path: Path) -> ModelProto:
    """The model in an ONNX file, without weights that are kept beside it.

    Raises:
        ModelError: it cannot be read, or is not an ONNX model.
    """
    return model_proto(model_content(path), path)


def sha256_or_empty(model: Path) -> str:
    """Of a model's files; empty where they cannot be read, which is told when they are needed."""
    try:
        return model_sha256(model)
    except (OSError, ModelError):
        return ""


def require_unchanged(digests: Mapping[Path, str]) -> None:
    """Refuse figures of files that are not, any more, what was sent to be measured.

    Raises:
        MeasurementError: a file no longer has its digest.
    """
    for model, sha256 in digests.items():
        if sha256_or_empty(model) != sha256:
            raise MeasurementError(
                "the file changed while it was measured",
                where=str(model),
                hint="measure it again once nothing writes it any more",
            )
