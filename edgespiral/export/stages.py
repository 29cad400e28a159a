"""The stages around a network written as files, each held to what it stands for before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from edgespiral.core.errors import DataError, ExportError, UsageError
from edgespiral.core.records.parts import part_files
from edgespiral.core.stages.files import EncodedFrame, StageFile, StageFiles
from edgespiral.core.stages.graph import StageGraph
from edgespiral.core.text import described
from edgespiral.core.user_code import user_code
from edgespiral.export.parity import opened

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from edgespiral.core.batches import DataSplits
    from edgespiral.core.nested import Tensors
    from edgespiral.core.stages.frames import Frames
    from edgespiral.core.stages.graph import Postprocessing
    from edgespiral.export.file_model import FileModel
    from edgespiral.tasks.base import Task

    Arrays = Mapping[str, NDArray[Any]]

PREPROCESS, POSTPROCESS = "preprocess.onnx", "postprocess.onnx"
INPUT = "input"
# Of answers, how many may be others because sums were taken in another order, and how far off.
TURNED_SHARE, CLOSE = 0.02, 1e-3
# Of made-up outputs, that scores come to lie anywhere between nothing and certain.
SPREAD = 2.0


def write_stages(folder: Path, onnx: Path, splits: DataSplits, task: Task) -> StageFiles:
    """Write what runs before and after `onnx` for a frame, as graphs on a real one.

    What the graphs compute is held against the sample that the data make of that frame, and against
    the task's answers of the network's outputs.

    Args:
        folder: of the files.
        onnx: the network's file, of batch 1.
        splits: as the task takes them.
        task: as it is prepared for the model.

    Raises:
        UsageError: the data say nothing of what their samples are made of, or the model runs in
            parts.
        DataError: the samples are not what the network takes, their file cannot be read, or the
            graph makes something else of it.
        ExportError: the graph of the answers computes something else.
    """
    frames = splits.frames
    if frames is None:
        raise UsageError(
            "these data say nothing of how a sample is made, so that cannot be timed",
            where=f"--timed pipeline: {splits.name}",
            hint="give DataSplits(frames=...) in data of your own, or take --timed network",
        )
    if part_files(onnx):
        hint = "take --timed network, whose figure is that of all parts"
        raise UsageError("a model of parts has no such pipeline", where=str(onnx), hint=hint)
    source = splits.validation.epoch(batch_size=1, first_batch=frames.index)
    inputs, _ = next(iter(source))
    network = opened(onnx)
    network.require_takes(inputs, splits.name)
    file = frames.file
    how = (frames.kind, frames.draft, frames.is_upright)
    encoded = None if file is None else EncodedFrame(file, *how)
    decoded = _decoded(frames)
    name = "a stored sample" if file is None else file.name
    sizes = " x ".join(map(str, decoded.shape))
    return StageFiles(
        frame=f"{name}, {sizes}",
        encoded=encoded,
        graphs=(
            _preprocess(folder, frames, decoded, inputs),
            *_postprocess(folder, onnx, network, task, inputs),
        ),
    )


def _decoded(frames: Frames) -> NDArray[Any]:
    try:
        return frames.decoded()
    except Exception as error:  # whatever damaged bytes make a decoder raise
        what = f"cannot be decoded: {described(error)}"
        raise DataError(what, where=str(frames.file)) from error


def _preprocess(folder: Path, frames: Frames, decoded: NDArray[Any], sample: Tensors) -> StageFile:
    graph, preparation = StageGraph(), frames.preparation
    where = "a stored sample" if frames.file is None else str(frames.file)
    with user_code(DataError, "the preparation of frames failed", where=where):
        prepared = preparation.add(graph, graph.frame(decoded[None]), decoded.shape)
    graph.output(INPUT, prepared, np.float32)
    path = graph.write(folder / PREPROCESS)
    values, wanted = _computed(path)[INPUT], np.asarray(sample)
    is_alike = values.shape == wanted.shape
    off = float(np.abs(values - wanted).mean()) if is_alike else float("inf")
    if not off <= preparation.tolerance:
        what = (
            f"is off by {off:.3g} in the mean, {preparation.tolerance:.3g} is allowed"
            if is_alike
            else f"is {values.shape}, the sample {wanted.shape}"
        )
        raise DataError(
            f"what {preparation.words} makes of it as a graph {what}, so it would not be what is "
            "used that is timed",
            where=where,
            hint="take --timed network, or mend the data's frames",
        )
    return StageFile("preprocess", preparation.words, path)


def _postprocess(
    folder: Path, onnx: Path, network: FileModel, task: Task, inputs: Tensors
) -> tuple[StageFile, ...]:
    """The stage, if there is something to do."""
    try:
        stage = task.postprocessing()
    except UsageError as error:
        return (StageFile("postprocess", "answers", None, refused=error.what),)
    if stage is None:
        refused = "the task says nothing of how outputs become answers"
        return (StageFile("postprocess", "answers", None, refused=refused),)
    if not stage.words:
        return ()
    path, outputs = folder / POSTPROCESS, network.values(inputs)
    # A network may be equally sure of many things, and which of them come first is then anyone's.
    made_up = {name: _made_up(value) for name, value in outputs.items()}
    reference = _write_answers(path, network, stage, made_up)
    problem = _difference(_computed(path), reference)
    if problem:
        raise ExportError(
            f"{stage.words} as a graph gives other answers than the task does: {problem}",
            where=str(onnx),
            hint="take --timed network",
        )
    _write_answers(path, network, stage, outputs)
    return (StageFile("postprocess", stage.words, path),)


def _made_up(value: NDArray[Any]) -> NDArray[Any]:
    """Numbers in place of an output's, no two of which are the same."""
    numbers = np.random.default_rng(0).normal(0, SPREAD, value.shape)
    return numbers.astype(value.dtype) if value.dtype.kind == "f" else value


def _write_answers(
    path: Path, network: FileModel, stage: Postprocessing, outputs: Arrays
) -> Arrays:
    """Write the graph of answers to such outputs, and return the task's own."""
    graph = StageGraph()
    names = network.form_of({name: graph.frame(value) for name, value in outputs.items()})
    with user_code(ExportError, "the task's post-processing failed", where=path.name):
        answers = stage.apply(network.formed(outputs))
        reference = {name: np.asarray(value) for name, value in answers.items()}
        for name, value in stage.add(graph, names).items():
            graph.output(name, value, reference[name].dtype)
    graph.write(path)
    return reference


def _difference(answers: Arrays, reference: Arrays) -> str:
    """Which answers differ, and how much; nothing where few do, by rounding."""
    for name, wanted in reference.items():
        if answers[name].shape != wanted.shape:
            return f"{name} is {answers[name].shape}, expected {wanted.shape}"
    if len(reference) > 1:
        share = _unmatched(_rows(answers, reference), _rows(reference, reference))
        return f"{share:.0%} of {', '.join(reference)}" if share > TURNED_SHARE else ""
    for name, wanted in reference.items():
        is_close = np.isclose(answers[name], wanted, rtol=CLOSE, atol=CLOSE)
        if is_close.size and 1 - is_close.mean() > TURNED_SHARE:
            return f"{1 - is_close.mean():.0%} of {name}"
    return ""


def _rows(answers: Arrays, order: Arrays) -> NDArray[np.float64]:
    """All that is said of each object, (n, values)."""
    columns = [np.reshape(answers[name], (len(answers[name]), -1)) for name in order]
    return np.concatenate(columns, axis=1, dtype=np.float64)


def _unmatched(rows: NDArray[np.float64], wanted: NDArray[np.float64]) -> float:
    """The share of `wanted` that no row is near: equal scores may be in another order."""
    if not len(wanted):
        return 0.0
    apart = np.abs(rows[:, None] - wanted[None]).max(2)
    return float((apart.min(0) > CLOSE * (1 + np.abs(wanted).max(1))).mean())


def _computed(path: Path) -> Arrays:
    """What a stage's graph computes here."""
    return opened(path).values(torch.zeros(1))
