"""One real sample of a run: what the files that run were given, and what they gave."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np
from onnx.helper import tensor_dtype_to_np_dtype

from edgespiral.core.errors import RunFolderError
from edgespiral.core.nested import rows
from edgespiral.core.onnx_graph import fed_inputs
from edgespiral.core.records.parts import part_files, part_path
from edgespiral.core.system.files import is_file, replacing, sha256_file
from edgespiral.export.parity import opened
from edgespiral.export.precision import validation_samples
from edgespiral.measure.model_files import read_proto, timed_files

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from onnx import TypeProto
    from torch import nn

    from edgespiral.core.batches import DataSplits
    from edgespiral.core.nested import Tensors
    from edgespiral.tasks.base import Task

    Arrays = Mapping[str, NDArray[Any]]

KEPT = "sample.npz"
INPUT, OUTPUT = "input", "output"


@dataclass(frozen=True)
class FileSample:
    """What one ONNX file was given and gave, each by the file's own names and in its order.

    Attributes:
        sha256: of the file.
        inputs, outputs: of batch 1.
    """

    sha256: str
    inputs: Arrays
    outputs: Arrays


def recorded(
    path: Path, splits: DataSplits, task: Task, model: Callable[[], nn.Module]
) -> tuple[FileSample, ...]:
    """A validation sample, run by each file that runs for the model at `path`, here.

    Args:
        path: an ONNX file of batch 1.
        splits: as the task takes them (`Task.fitted`).
        task: which takes a model of parts apart.
        model: makes the PyTorch model, which is asked for where there are parts alone.

    Raises:
        ExportError: ONNX Runtime cannot run a file.
        ModelError: the model cannot be taken apart, or a part's file is missing.
    """
    [sample, *_] = validation_samples(splits, 1)
    files = part_files(path)
    if not files:
        return (_recorded(path, sample),)
    inputs = {part.name: rows(part.inputs, slice(1)) for part in task.parts(model(), sample)}
    return tuple(_recorded(part_path(path, file), inputs[file.name]) for file in files)


def keep(folder: Path, samples: Sequence[FileSample]) -> None:
    """Write samples into a run's folder.

    Raises:
        RunFolderError: the file cannot be written.
    """
    arrays: dict[str, Any] = {}
    for sample in samples:
        for way, values in ((INPUT, sample.inputs), (OUTPUT, sample.outputs)):
            for name, array in values.items():
                arrays[json.dumps([sample.sha256, way, name])] = array
    with replacing(folder / KEPT) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def kept(path: Path) -> tuple[FileSample, ...] | None:
    """The samples beside the ONNX file `path`, of its files that run; None: there are none.

    Raises:
        RunFolderError: they cannot be read, or are of other files.
    """
    place = path.with_name(KEPT)
    if not is_file(place):
        return None
    try:
        with np.load(place, allow_pickle=False) as stored:
            by_file = _by_file({key: stored[key] for key in stored.files})
        return tuple(_kept(by_file, file.path) for file in timed_files(path))
    except (OSError, ValueError, TypeError, KeyError, BadZipFile) as error:
        raise RunFolderError(
            "is damaged, or of other files than the model's",
            where=str(place),
            hint="remove it, and a sample is made of the run's data, or of --data",
        ) from error


def _kept(by_file: Mapping[str, Mapping[str, Arrays]], path: Path) -> FileSample:
    """The sample of one file.

    Raises:
        KeyError: there is none.
        ValueError: it is not what the file takes and gives.
    """
    sha256, graph = sha256_file(path), read_proto(path).graph
    arrays = by_file[sha256]
    for way, values in ((INPUT, fed_inputs(graph)), (OUTPUT, graph.output)):
        if arrays[way].keys() != {value.name for value in values}:
            raise ValueError(f"other {way}s than the file's")
        for value in values:
            if not _fits(arrays[way][value.name], value.type.tensor_type):
                raise ValueError(f"{value.name} is of another type or shape than the file's")
    return FileSample(sha256, arrays[INPUT], arrays[OUTPUT])


def _fits(array: NDArray[Any], tensor: TypeProto.Tensor) -> bool:
    """Whether it is of the type and the sizes that a file states."""
    if array.dtype != tensor_dtype_to_np_dtype(tensor.elem_type):
        return False
    sizes = [size.dim_value for size in tensor.shape.dim]
    if not tensor.HasField("shape"):
        return True
    return len(sizes) == array.ndim and all(
        size in (0, own) for size, own in zip(sizes, array.shape, strict=True)
    )


def _by_file(arrays: Arrays) -> dict[str, dict[str, dict[str, NDArray[Any]]]]:
    by_file: dict[str, dict[str, dict[str, NDArray[Any]]]] = {}
    for key, array in arrays.items():
        sha256, way, name = json.loads(key)
        ways = by_file.setdefault(sha256, {INPUT: {}, OUTPUT: {}})
        ways[way][name] = array
    return by_file


def _recorded(path: Path, inputs: Tensors) -> FileSample:
    file = opened(path)
    return FileSample(sha256_file(path), file.feeds(inputs), file.values(inputs))
