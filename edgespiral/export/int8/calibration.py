"""A recipe applied: samples, ranges, an int8 file, and what that did to each layer."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import onnx
import onnxruntime

from edgespiral.core.errors import DataError, ExportError, ModelError
from edgespiral.core.nested import apart, leaves
from edgespiral.core.records.exported import Quantisation
from edgespiral.core.system.temporary import work_folder
from edgespiral.data.stratified import stratified
from edgespiral.export.file_model import FileModel, given_names
from edgespiral.export.graph import (
    MULTIPLIES,
    file_sha256,
    input_shapes,
    load_graph,
    open_session,
    refusing,
    weighted_layers,
)
from edgespiral.export.int8.convert import excluded_layers, write_int8
from edgespiral.export.int8.ranges import calibrated
from edgespiral.export.layers import layer_errors
from edgespiral.export.recipe import recipe_sha256

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from edgespiral.core.batches import DataSplits
    from edgespiral.core.nested import Tensors
    from edgespiral.core.records.exported import RestoredLayer
    from edgespiral.data.stratified import Sampled
    from edgespiral.export.int8.convert import Form
    from edgespiral.export.int8.ranges import Ranges
    from edgespiral.export.recipe import Recipe
    from edgespiral.tasks.base import Task

ERROR_SAMPLES = 64
# Two standard deviations above what guessing gets right.
SIGMAS = 2.0
SCALING = "is this the data, with the scaling, that it was trained on?"


@dataclass(frozen=True)
class Calibrated:
    """A float file with its ranges, of which int8 files can be written.

    Attributes:
        source: the float32 ONNX file.
        samples: that the ranges are from.
        ranges: of `source`, or of one with the same tensors.
        excluded: layers that the recipe keeps in float.
        task: which says how far outputs are apart.
    """

    source: Path
    recipe: Recipe
    form: Form
    samples: Sampled
    ranges: Ranges
    excluded: tuple[str, ...] = ()
    task: Task = field(kw_only=True)

    def write(self, path: Path, keep_float: Collection[str] = ()) -> dict[str, str]:
        """Write the int8 file `path`; return why which layers stay float.

        Args:
            keep_float: further layers that do.

        Raises:
            ExportError, RunFolderError: as `write_int8`.
        """
        names = {*keep_float, *self.excluded}
        left_float = write_int8(self.source, path, self.ranges, form=self.form, keep_float=names)
        return left_float | dict.fromkeys(self.excluded, f"excluded by recipe {self.recipe.name}")

    def record(
        self, path: Path, left_float: Mapping[str, str], restored: Sequence[RestoredLayer] = ()
    ) -> Quantisation:
        """What `write` has done to each layer.

        Args:
            left_float: what `write` returned.
            restored: those of them that went back to hold a floor of the score.

        Raises:
            ExportError: ONNX Runtime cannot run the file.
        """
        reasons = {
            **left_float,
            **{layer.layer: "put back to hold the score" for layer in restored},
        }
        if self.form == "onnxruntime":
            names = {node.name for node in weighted_layers(load_graph(self.source))}
            float_anyway = names.intersection(float_layers(path)) - set(left_float)
            reasons |= dict.fromkeys(
                sorted(float_anyway), "ONNX Runtime runs it in float all the same"
            )
        inputs = spread(self.samples.inputs, ERROR_SAMPLES)
        return Quantisation(
            precision="int8",
            form=self.form,
            recipe=self.recipe.name,
            recipe_sha256=recipe_sha256(self.recipe),
            method=self.recipe.method,
            samples=len(self.samples.inputs),
            samples_sha256=self.samples.sha256,
            source_sha256=file_sha256(self.source),
            sha256=file_sha256(path),
            kept_float=reasons,
            layers=tuple(layer_errors(self.source, path, inputs)),
            restored=tuple(restored),
            metric=self.task.metric,
        )


def prepare(
    source: Path,
    data: DataSplits,
    recipe: Recipe,
    *,
    form: Form,
    cache: Path | None = None,
    known_data: bool = False,
    task: Task,
) -> Calibrated:
    """Find the ranges of the float file `source` as a recipe says.

    Args:
        source: a trained float32 ONNX model, its input of batch 1 and fixed size.
        data: calibration samples are from the recipe's split of it.
        form: for which runtime, see `export.int8`.
        cache: folder of ranges by model and recipe.
        known_data: do not ask whether the float model's outputs are the task's and better than
            chance, nor that layers to exclude are there: a student may have lost them with their
            branch.

    Raises:
        DataError: data of another shape, other classes or another scaling than the model's, or
            fewer samples than the recipe asks for.
        ExportError, UsageError: as `write_int8` and `excluded_layers`.
    """
    check_shapes(source, data)
    where = recipe.name
    excluded = excluded_layers(source, recipe.exclude, where=where, all_there=not known_data)
    split = data.train if recipe.split == "train" else data.validation
    where = f"{data.name}: {recipe.split}"
    samples = stratified(split, recipe.samples, seed=recipe.seed, where=where)
    if not known_data:
        check_outputs(source, samples.inputs[0], data, task)
        check_better_than_chance(source, samples, where, task)
    ranges = calibrated(source, samples, recipe, cache)
    return Calibrated(source, recipe, form, samples, ranges, tuple(excluded), task=task)


def calibrate(
    source: Path,
    path: Path,
    data: DataSplits,
    recipe: Recipe,
    *,
    form: Form,
    cache: Path | None = None,
    task: Task,
) -> Quantisation:
    """Make the int8 file `path` of the float file `source`; see `prepare`.

    Raises:
        As `prepare`, `Calibrated.write` and `Calibrated.record`.
    """
    prepared = prepare(source, data, recipe, form=form, cache=cache, task=task)
    return prepared.record(path, prepared.write(path))


def spread(samples: Sequence[Tensors], count: int) -> Sequence[Tensors]:
    """At most `count` of the samples, evenly apart, since splits may be stored class by class."""
    return samples[:: max(1, math.ceil(len(samples) / count))]


def check_shapes(source: Path, data: DataSplits) -> None:
    """Compare a model's inputs with those of `data`.

    Raises:
        DataError: they have another shape.
        ExportError: the model's input has no fixed shape, or a batch other than 1.
    """
    model = load_graph(source)
    shapes = input_shapes(model, str(source))
    for batch, *_ in shapes.values():
        if batch != 1:
            raise ExportError(f"takes batches of {batch}; calibration needs 1", where=str(source))
    specs_by_name = leaves(data.specs)
    metadata = {prop.key: prop.value for prop in model.metadata_props}
    names = given_names(metadata, [*shapes], str(source))
    specs = dict(zip(names, specs_by_name.values(), strict=False))
    fits = len(names) == len(specs_by_name) and shapes.keys() <= specs.keys()
    if not fits or any(specs[name].shape != sizes[1:] for name, sizes in shapes.items()):
        shapes_there = ", ".join(
            f"{name} {spec.shape}".lstrip() for name, spec in specs_by_name.items()
        )
        shapes_needed = ", ".join(str(sizes[1:]) for sizes in shapes.values())
        raise DataError(
            f"inputs are {shapes_there}, {source} takes {shapes_needed}", where=data.name
        )


def check_outputs(source: Path, sample: Tensors, data: DataSplits, task: Task) -> None:
    """Compare what a model's file says of a sample (1, ...) with what `task` makes of such data.

    Raises:
        DataError: it is of another form, as for other classes.
        ExportError: ONNX Runtime cannot run it.
    """
    outputs = FileModel(open_session(source, str(source)), str(source)).run(sample)
    try:
        task.check_outputs(outputs, 1, data)
    except ModelError as error:
        raise DataError(f"{source}: {error.what}", where=data.name, hint=error.hint) from error


def check_better_than_chance(source: Path, samples: Sampled, where: str, task: Task) -> None:
    """Tell data of another scaling or meaning from that which the model was trained on.

    Raises:
        DataError: the float model is right on no more samples than always guessing the commonest
            class would be, give or take two standard deviations.
    """
    count, chance = len(samples.inputs), task.chance(samples.targets)
    if chance is None:
        return
    right = right_answers(source, samples, task)
    bound = count * chance + _margin(count, chance, task.decisions(samples.targets))
    if right <= bound and right < count:
        raise DataError(
            f"the float model is right on {right:.4g} of {count} calibration samples, guessing "
            f"would be on up to {bound:.0f}",
            where=where,
            hint=SCALING,
        )


def check_as_right_as_known(
    source: Path, samples: Sampled, recorded: float, where: str, task: Task
) -> None:
    """Compare the float model's score on the samples with that which it is known to have.

    Args:
        recorded: in the unit of the task's metric; compared where it counts right samples.

    Raises:
        DataError: it is lower by more than two standard deviations.
    """
    if not task.scores_rightness:
        return
    count, right = len(samples.inputs), right_answers(source, samples, task)
    expected = count * recorded / 100
    if right < expected - _margin(count, recorded / 100, count):
        raise DataError(
            f"the float model is right on {right:.4g} of {count} calibration samples; with the "
            f"{recorded:.2f} % that its run has written down it would be on {expected:.0f}",
            where=where,
            hint=SCALING,
        )


def right_answers(source: Path, samples: Sampled, task: Task) -> float:
    """On how many of the samples the model is right, as `Task.rightness` has it.

    Raises:
        ExportError: ONNX Runtime cannot run it.
    """
    file = FileModel(open_session(source, str(source)), str(source))
    answers = (file.run(sample) for sample in samples.inputs)
    pairs = zip(answers, apart(samples.targets), strict=True)
    return sum(float(task.rightness(outputs, targets)) for outputs, targets in pairs)


def _margin(count: int, share: float, decisions: int) -> float:
    """What chance may do to how many of `count` are right, where so many decisions are made."""
    return SIGMAS * count * math.sqrt(share * (1 - share) / decisions)


def float_layers(path: Path) -> list[str]:
    """The layers of a quantised model that ONNX Runtime's CPU provider still runs in float."""
    with work_folder() as folder:
        optimised = folder / "optimised.onnx"
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.optimized_model_filepath = str(optimised)
        with refusing(str(path), "ONNX Runtime cannot load it"):
            onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        nodes = onnx.load(optimised).graph.node
    return [node.name for node in nodes if node.op_type.removeprefix("Fused") in MULTIPLIES]
