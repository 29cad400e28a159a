"""A recipe applied: samples, ranges, an int8 file, and what that did to each layer."""

from __future__ import annotations

import math
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime

from edgespiral.core.errors import DataError, ExportError
from edgespiral.core.exported import Quantisation
from edgespiral.core.files import sha256_file
from edgespiral.core.recipe import recipe_sha256
from edgespiral.data.stratified import stratified
from edgespiral.export.graph import (
    MULTIPLIES,
    load_graph,
    only_input,
    open_session,
    refusing,
    weighted_layers,
)
from edgespiral.export.int8 import excluded_layers, write_int8
from edgespiral.export.layers import layer_errors
from edgespiral.export.ranges import calibrated

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from torch import Tensor

    from edgespiral.core.batches import DataSplits
    from edgespiral.core.recipe import Recipe
    from edgespiral.data.stratified import Sampled
    from edgespiral.export.int8 import Form

ERROR_SAMPLES = 64
# Two standard deviations above what guessing gets right.
SIGMAS = 2.0


def calibrate(
    source: Path,
    path: Path,
    data: DataSplits,
    recipe: Recipe,
    *,
    form: Form,
    cache: Path | None = None,
    keep_float: Collection[str] = (),
    known_data: bool = False,
) -> Quantisation:
    """Make the int8 file `path` of the float file `source`.

    Args:
        source: a trained float32 ONNX model, its input of batch 1 and fixed size.
        data: calibration samples are from the recipe's split of it.
        form: for which runtime, see `export.int8`.
        cache: folder of ranges by model and recipe.
        keep_float: further layers that stay in float.
        known_data: do not ask whether the float model does better than chance on them.

    Raises:
        DataError: data of another shape, other classes or another scaling than the model's, or
            fewer samples than the recipe asks for.
        ExportError, UsageError: as `write_int8` and `excluded_layers`.
    """
    check_shapes(source, data)
    excluded = excluded_layers(source, recipe.exclude, where=recipe.name)
    split = data.train if recipe.split == "train" else data.validation
    where = f"{data.name}: {recipe.split}"
    samples = stratified(split, recipe.samples, seed=recipe.seed, where=where)
    if not known_data:
        check_better_than_chance(source, samples, where)
    ranges = calibrated(source, samples, recipe, cache)
    kept = write_int8(source, path, ranges, form=form, keep_float={*keep_float, *excluded})
    kept |= dict.fromkeys(excluded, f"excluded by recipe {recipe.name}")
    if form == "onnxruntime":
        names = {node.name for node in weighted_layers(load_graph(source))}
        left = names.intersection(float_layers(path)) - set(kept)
        kept |= dict.fromkeys(sorted(left), "ONNX Runtime runs it in float all the same")
    return Quantisation(
        precision="int8",
        form=form,
        recipe=recipe.name,
        recipe_sha256=recipe_sha256(recipe),
        method=recipe.method,
        samples=len(samples.inputs),
        samples_sha256=samples.sha256,
        source_sha256=sha256_file(source),
        sha256=sha256_file(path),
        kept_float=kept,
        layers=tuple(layer_errors(source, path, spread(samples.inputs, ERROR_SAMPLES))),
    )


def spread(samples: Sequence[Tensor], count: int) -> Sequence[Tensor]:
    """At most `count` of the samples, evenly apart, since splits may be stored class by class."""
    return samples[:: max(1, math.ceil(len(samples) / count))]


def check_shapes(source: Path, data: DataSplits) -> None:
    """Compare a model's input and output with those of `data`.

    Raises:
        DataError: the inputs have another shape, or there are other classes.
        ExportError: the model's input has no fixed shape, or a batch other than 1.
    """
    model = load_graph(source)
    _, (batch, *sizes) = only_input(model, str(source))
    if batch != 1:
        raise ExportError(f"takes batches of {batch}; calibration needs 1", where=str(source))
    if tuple(sizes) != data.input_shape:
        raise DataError(
            f"inputs are {data.input_shape}, {source} takes {tuple(sizes)}", where=data.name
        )
    shape = [dimension.dim_value for dimension in model.graph.output[0].type.tensor_type.shape.dim]
    classes = len(data.class_names)
    if shape and shape[-1] != classes:
        raise DataError(f"has {classes} classes, {source} tells {shape[-1]} apart", where=data.name)


def check_better_than_chance(source: Path, samples: Sampled, where: str) -> None:
    """Tell data of another scaling or meaning from that which the model was trained on.

    Raises:
        DataError: the float model is right on no more samples than always guessing the commonest
            class would be, give or take two standard deviations.
    """
    session = open_session(source, str(source))
    name = session.get_inputs()[0].name
    with refusing(str(source), "ONNX Runtime cannot run it"):
        told = [int(session.run(None, {name: s.numpy()})[0].argmax()) for s in samples.inputs]
    count = len(told)
    right = sum(np.equal(told, samples.labels))
    chance = max(np.bincount(samples.labels)) / count
    bound = count * chance + SIGMAS * math.sqrt(count * chance * (1 - chance))
    if right <= bound and right < count:
        raise DataError(
            f"the float model is right on {right} of {count} calibration samples, guessing would "
            f"be on up to {bound:.0f}",
            where=where,
            hint="is this the data, with the scaling, that it was trained on?",
        )


def float_layers(path: Path) -> list[str]:
    """The layers of a quantised model that ONNX Runtime's CPU provider still runs in float."""
    with TemporaryDirectory(prefix="edgespiral-") as folder:
        optimised = Path(folder) / "optimised.onnx"
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.optimized_model_filepath = str(optimised)
        with refusing(str(path), "ONNX Runtime cannot load it"):
            onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        nodes = onnx.load(optimised).graph.node
    return [node.name for node in nodes if node.op_type.removeprefix("Fused") in MULTIPLIES]
