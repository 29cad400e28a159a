"""One real sample of a run: what the files that run were given, and what they gave."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np

from edgespiral.core.errors import RunFolderError
from edgespiral.core.nested import rows
from edgespiral.core.records.parts import part_files, part_path
from edgespiral.core.system.files import is_file, replacing, sha256_file
from edgespiral.export.parity import opened
from edgespiral.export.precision import validation_samples
from edgespiral.measure.model_files import timed_files

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
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
        hashes = [sha256_file(file.path) for file in timed_files(path)]
        return tuple(
            FileSample(sha256, by_file[sha256][INPUT], by_file[sha256][OUTPUT]) for sha256 in hashes
        )
    except (OSError, ValueError, TypeError, KeyError, BadZipFile) as error:
        raise RunFolderError(
            "is damaged, or of other files than the model's",
            where=str(place),
            hint="remove it, and a sample is made of the run's data, or of --data",
        ) from error


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
