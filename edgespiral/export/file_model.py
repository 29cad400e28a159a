"""An ONNX file run by ONNX Runtime on inputs and to outputs of the forms that the model has.

A file has inputs and outputs in a row, by name. Where a model has several of them, the file says
in its metadata which tuple or dict they are, so that a task reads a file's outputs as PyTorch's.
"""

from __future__ import annotations

import itertools
import json
import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from edgespiral.core.errors import DataError, ExportError
from edgespiral.core.nested import count, filled, leaves
from edgespiral.core.system.files import parse_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from concurrent.futures import Executor
    from pathlib import Path

    import onnxruntime
    from numpy.typing import NDArray
    from torch import Tensor

    from edgespiral.core.nested import Template, Tensors

INPUTS, OUTPUTS = "edgespiral.inputs", "edgespiral.outputs"
# Of the one input and the one output that most models have.
INPUT, OUTPUT = "input", "output"


def named(names: Sequence[str], existing: Iterable[str]) -> list[str]:
    """`names`, each with underscores behind it until nothing else in the file is called so."""
    used = set(existing)
    free = []
    for name in names:
        while name in used:
            name += "_"  # noqa: PLW2901
        used.add(name)
        free.append(name)
    return free


def output_names(outputs: Tensors) -> list[str]:
    """A name for each output: a dict's key, or its place."""
    return [f"output_{name}" if name[:1].isdigit() else name for name in leaves(outputs)]


def described(form: Template, names: Sequence[str]) -> str:
    """What the metadata say of inputs or of outputs."""
    return json.dumps({"form": form, "names": list(names)})


class FileModel:
    """A session on an ONNX file.

    Args:
        session: of ONNX Runtime.
        where: what errors call the file.

    Raises:
        ExportError: it has no input, or what its metadata say of these or its outputs is damaged.
    """

    def __init__(self, session: onnxruntime.InferenceSession, where: str) -> None:
        self._session, self._where = session, where
        metadata: Mapping[str, str] = session.get_modelmeta().custom_metadata_map
        self._inputs = [value.name for value in session.get_inputs()]
        self.outputs = [value.name for value in session.get_outputs()]
        if not self._inputs:
            raise ExportError(
                "has no input: what it computes was fixed when it was exported",
                where=where,
                hint="use torch alone in forward: what NumPy computes is a constant there",
            )
        self._given_names = given_names(metadata, self._inputs, where)
        with _undamaged(where):
            self._form, self._named = _read(metadata, OUTPUTS, self.outputs)
            _require_known(self._named, self.outputs)

    @property
    def entries(self) -> list[onnxruntime.NodeArg]:
        """Its inputs: name, shape and type of each, as ONNX Runtime has them."""
        return list(self._session.get_inputs())

    def run(self, inputs: Tensors) -> Tensors:
        """What the file computes of one batch, in the form that the model's outputs have.

        Raises:
            ExportError: ONNX Runtime cannot run it.
        """
        return self.formed(self.values(inputs))

    def run_each(self, samples: Tensors, workers: Executor, threads: int) -> Tensors:
        """What the file, of batch 1, computes of each of N samples alone, (N, ...).

        For a sample nothing but the session is called: all else is done once, as it would take as
        long as a tiny model does. So is handing over, of one piece for each thread.

        Args:
            samples: inputs (N, ...).
            workers: with so many `threads`, which run side by side.

        Raises:
            ExportError: ONNX Runtime cannot run it, or its outputs have another size by sample.
        """
        fed, number = self.feeds(samples), count(samples)

        def run(piece: range) -> list[Sequence[NDArray[Any]]]:
            return [
                self._session.run(self.outputs, {name: fed[name][at : at + 1] for name in fed})
                for at in piece
            ]

        size = max(1, math.ceil(number / threads))
        pieces = [range(at, min(at + size, number)) for at in range(0, number, size)]
        with self._running():
            rows = [row for piece in workers.map(run, pieces) for row in piece]
        try:
            values = map(np.concatenate, zip(*rows, strict=True))
            return self.formed(dict(zip(self.outputs, values, strict=True)))
        except (TypeError, ValueError) as error:
            what = "its outputs have another size for each sample"
            raise ExportError(what, where=self._where) from error

    def formed(self, values: Mapping[str, NDArray[Any]]) -> Tensors:
        """Outputs by name in the form that the model's have."""
        return filled(self._form, (torch.from_numpy(np.asarray(values[n])) for n in self._named))

    def form_of(self, by_name: Mapping[str, Any]) -> Tensors:
        """Whatever there is for each output, by its name, in the form that the model's have."""
        return filled(self._form, (by_name[name] for name in self._named))

    def values(
        self, inputs: Tensors, names: Sequence[str] | None = None
    ) -> dict[str, NDArray[Any]]:
        """All that the file gives, or those called `names`, by name.

        Raises:
            ExportError: ONNX Runtime cannot run it.
        """
        output_names = self.outputs if names is None else list(names)
        with self._running():
            values = self._session.run(output_names, self.feeds(inputs))
        return dict(zip(output_names, values, strict=True))

    def require_takes(self, inputs: Tensors, samples: str) -> None:
        """Refuse samples that are not what the file takes.

        Args:
            inputs: one of them (1, ...).
            samples: what errors call them.

        Raises:
            DataError: the file cannot be run on it.
        """
        what = "the samples do not fit the model"
        hint = f"{self._where} takes {', '.join(self._given_names)}: name the data that it is for"
        own, taken = len(leaves(inputs)), len(self._given_names)
        if own != taken:
            many = f"{what}: they have {own} inputs, and not {taken}"
            raise DataError(many, where=samples, hint=hint)
        try:
            self.values(inputs)
        except ExportError as error:
            raise DataError(f"{what}: {error.what}", where=samples, hint=hint) from error

    @contextmanager
    def _running(self) -> Iterator[None]:
        """Say of whatever fails inside that ONNX Runtime cannot run the file."""
        try:
            yield
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            raise ExportError(f"ONNX Runtime cannot run it: {reason}", where=self._where) from error

    def feeds(self, inputs: Tensors) -> dict[str, NDArray[Any]]:
        """The inputs by the file's names; those that its graph has no use for are left out."""
        fed = feeds(inputs, self._given_names)
        return {name: fed[name].numpy() for name in self._inputs if name in fed}


def feeds(inputs: Tensors, names: Sequence[str]) -> dict[str, Tensor]:
    """Each input by its name in a file that calls them `names`, in the order of a tuple."""
    if isinstance(inputs, dict) and inputs.keys() == set(names):
        return inputs
    return dict(zip(names, leaves(inputs).values(), strict=True))


def given_names(metadata: Mapping[str, str], names: Sequence[str], where: str) -> list[str]:
    """What a file calls the model's inputs, those too that its graph has no use for.

    Args:
        metadata: the file's metadata.
        names: of the inputs that it has.
        where: what errors call the file.

    Raises:
        ExportError: the metadata are damaged.
    """
    with _undamaged(where):
        inputs = _read(metadata, INPUTS, names)[1]
        _require_known(names, inputs)
    return inputs


@contextmanager
def _undamaged(where: str) -> Iterator[None]:
    """Say of metadata that cannot be read inside that they are damaged."""
    try:
        yield
    except (ValueError, KeyError, TypeError) as error:
        what = "what its metadata say of its inputs and outputs is damaged"
        raise ExportError(what, where=where) from error


def _read(
    metadata: Mapping[str, str], key: str, names: Sequence[str]
) -> tuple[Template, list[str]]:
    if key in metadata:
        entry = parse_json(metadata[key])
        if not isinstance(entry, dict) or not isinstance(entry["names"], list):
            raise TypeError("no form with its names")
        form, named = entry["form"], [str(name) for name in entry["names"]]
        _require_filled(form, named)
        return form, named
    return None if len(names) == 1 else dict.fromkeys(names), list(names)


def _require_filled(form: Template, names: Sequence[str]) -> None:
    """Refuse a form that has not as many ends as there are names.

    Raises:
        ValueError: that is so, or it is nested too deeply.
    """
    try:
        ends = len(leaves(filled(form, itertools.repeat(0))))
    except RecursionError as error:
        raise ValueError("is nested too deeply") from error
    if ends != len(names):
        raise ValueError(f"{ends} ends and {len(names)} names")


def _require_known(names: Iterable[str], present: Iterable[str]) -> None:
    """Refuse a name that nothing in the file goes by.

    Raises:
        ValueError: there is one.
    """
    strange = set(names) - set(present)
    if strange:
        raise ValueError(f"nothing is called {strange.pop()!r}")


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write what a device is given or gives: one array as `.npy` has it, several as `.npz`."""
    with path.open("wb") as file:
        if len(arrays) == 1:
            np.save(file, next(iter(arrays.values())), allow_pickle=False)
        else:
            np.savez(file, allow_pickle=False, **arrays)


def read_arrays(path: Path, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """What `write_arrays` has written; one array by itself has the first of `names`.

    Raises:
        OSError, ValueError, zipfile.BadZipFile: it is no such file.
    """
    loaded = np.load(path, allow_pickle=False)
    if isinstance(loaded, np.ndarray):
        return {names[0]: loaded}
    with loaded:
        return {name: loaded[name] for name in loaded.files}
