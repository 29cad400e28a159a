"""Runtimes with a file format of their own: models are converted here, and run there.

A conversion is kept while somebody has it, and the latest few longer: the runtime that tells
outputs is another than the one that is timed, and both are given the same model.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from edgespiral.core.errors import ModelError, TargetError, first_few
from edgespiral.core.onnx_graph import fed_inputs
from edgespiral.core.system.files import is_file, make_folder, require_room
from edgespiral.core.system.outlived import end_group, watch
from edgespiral.measure.model_files import (
    model_files,
    precision_of,
    read_proto,
)
from edgespiral.measure.runtimes.agent_answer import agent_document, whole_answer
from edgespiral.measure.runtimes.agent_runtime import AgentRuntime
from edgespiral.measure.runtimes.conversions import Conversions, Converted, Subject
from edgespiral.measure.runtimes.operators import with_layers
from edgespiral.measure.transports.output import collected

if TYPE_CHECKING:
    import re
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from edgespiral.measure.completed import Completed
    from edgespiral.measure.runtimes.base import Answer, Job
    from edgespiral.measure.runtimes.conversions import Convert

    Shapes = Mapping[str, Sequence[int]]

LONGEST_S = 600
LONGEST_LINE = 300
# onnx.TensorProto's.
FLOAT = 1
# What programs import that convert modules: it is put beside each of them.
GIVEN_MODULE = Path(__file__).with_name("given_module.py")
REQUEST = "request.json"
# Where the export keeps which tuple or dict a model's inputs are.
FORM = "edgespiral.inputs"


def subjects_of(job: Job) -> list[Subject]:
    """What a job's models are converted from."""
    modules = job.modules or [None] * len(job.models)
    return [
        Subject(model, job.shapes, module)
        for model, module in zip(job.models, modules, strict=True)
    ]


def in_folders(models: Sequence[Converted]) -> dict[str, Path]:
    """The files of models by their names on a device: `model-0/...` are those of the first."""
    return {
        f"model-{index}/{name}": file
        for index, model in enumerate(models)
        for name, file in model.files.items()
    }


def require_layers_taken(
    left: Iterable[tuple[str, str]], heavy: re.Pattern[str], model: Path, delegate: str
) -> None:
    """Refuse a model of which a delegate leaves layers with weights to other kernels.

    Args:
        left: the layer and the operator of each thing that it leaves.
        heavy: the operators of layers with weights.
        model: that they are of.
        delegate: in words.

    Raises:
        TargetError: there are such layers; they are named.
    """
    names = [f"{layer} ({operator})" for layer, operator in left if heavy.search(operator)]
    if names:
        raise TargetError(
            f"{delegate} leaves {len(names)} of its layers to other kernels: {first_few(names)}",
            where=str(model),
            hint="name another runtime",
        )


class ConvertingRuntime(AgentRuntime):
    """What runtimes share that are given converted models.

    Args:
        title: what a person calls the runtime.
        kind: the plug-in's name.
        settings: what the agent is told beside the job.
        agent: of the runtime.
        made_by: what the files depend on beside the model.

    Attributes:
        tells_layers: whether it answers `profile` jobs.
    """

    tells_layers: ClassVar[bool] = False

    def __init__(
        self,
        title: str,
        kind: str,
        settings: Mapping[str, object],
        agent: Path,
        *,
        made_by: Mapping[str, object],
    ) -> None:
        super().__init__(title, settings, agent)
        self._kind = kind
        self._conversions = Conversions(kind, made_by)

    def convert(self, subject: Subject, folder: Path) -> Converted:
        """Convert a model into `folder`.

        Raises:
            MissingExtraError: what converts is not installed here.
            ModelError: the model is not for this runtime, or cannot be converted.
        """
        raise NotImplementedError

    @contextmanager
    def converting(self, job: Job) -> Iterator[Convert]:  # noqa: ARG002 (for those that override it)
        """Inside, what converts a job's models one by one."""
        yield self.convert

    def files(self, job: Job) -> Mapping[str, Path | str]:
        """The agents, the converted models and the request.

        Raises:
            MissingExtraError: what converts is not installed here.
            ModelError: a model cannot be converted.
            TargetError: times of layers are asked for, and the runtime does not tell them.
        """
        if job.mode == "profile" and not self.tells_layers:
            raise TargetError(
                f"{self._title} does not tell the times of layers",
                hint="ask another runtime for them",
            )
        return super().files(job)

    def pushed(self, job: Job) -> tuple[dict[str, Path], dict[str, object]]:
        """The models in the runtime's files, each in a folder, and what the agent has to know."""
        with self.converting(job) as convert:
            models = [self._conversions.of(subject, convert) for subject in subjects_of(job)]
        names = [f"model-{index}" for index in range(len(models))]
        told = {"models": names, "about": [dict(model.about) for model in models]}
        return in_folders(models), told

    def converted(self, subject: Subject) -> Converted:
        """A model in the runtime's files, converted once while this or another has it."""
        return self._conversions.of(subject, self.convert)

    def parse(self, completed: Completed, job: Job) -> Answer:
        """The agent's document, held to what was asked for."""
        expected = {"runtime": self._kind, "threads": self._settings["threads"]}
        return whole_answer(agent_document(completed, job), job, expected=expected)


def float_inputs(model: Path, shapes: Shapes, title: str) -> dict[str, tuple[int, ...]]:
    """Shapes of the inputs of an ONNX file of float32, by name.

    Args:
        model: the file.
        shapes: of inputs that have no fixed one, by name; "" is the only input.
        title: what a person calls the runtime.

    Raises:
        ModelError: the file or an input is not of float32, or an input has no fixed shape.
    """
    if precision_of(model) != "fp32":
        hint = "convert its float32 file, or name another runtime"
        raise ModelError(f"{title} is given files in float32 alone", where=str(model), hint=hint)
    sizes: dict[str, tuple[int, ...]] = {}
    for entry in fed_inputs(read_proto(model).graph):
        kind = entry.type.tensor_type
        written = tuple(size.dim_value for size in kind.shape.dim)
        shape = tuple(shapes.get(entry.name, shapes.get("", written)))
        if kind.elem_type != FLOAT:
            raise ModelError(
                f"{title} takes no input as {entry.name!r}: not float32", where=str(model)
            )
        if not all(shape):
            hint = "give one: --shape 1x3x224x224, or NAME:1x3x224x224"
            what = f"input {entry.name!r} has no fixed shape"
            raise ModelError(what, where=str(model), hint=hint)
        sizes[entry.name] = shape
    return sizes


def described(model: Path, inputs: Mapping[str, Sequence[int]]) -> dict[str, object]:
    """What every agent has to know of a model: its inputs' shapes and its outputs' names."""
    return {
        "inputs": {name: list(shape) for name, shape in inputs.items()},
        "outputs": [value.name for value in read_proto(model).graph.output],
    }


def copied(model: Path, folder: Path) -> Path:
    """A copy of an ONNX file with what belongs to it, called `model.onnx` in `folder`."""
    for name, part in model_files(model).items():
        copy = folder / name
        make_folder(copy.parent)
        copy.write_bytes(part.read_bytes())
    return (folder / model.name).rename(folder / "model.onnx")


def write_module_request(
    subject: Subject, title: str, inputs: Shapes, folder: Path, **more: object
) -> Path:
    """Put a module into `folder`, with a request for a program that converts it there.

    The program has `given_module.py` beside the request, which reads it.

    Args:
        subject: with a module.
        title: what a person calls the runtime.
        inputs: their shapes by name, in the order in which the module takes them.
        folder: where all is put.
        more: what the program is told besides.

    Raises:
        ModelError: there is no module, or it takes inputs inside of others.
    """
    module = subject.required_module(title)
    for file in (module.source, module.weights, GIVEN_MODULE):
        shutil.copy(file, folder / file.name)
    document = {
        "shapes": [list(shape) for shape in inputs.values()],
        "keywords": _keywords(subject.model, title),
        **more,
    }
    request = folder / REQUEST
    request.write_text(json.dumps(document), encoding="utf-8")
    return request


def _keywords(model: Path, title: str) -> list[str]:
    """The names by which the module takes its inputs; none where it takes them in a row."""
    metadata = {entry.key: entry.value for entry in read_proto(model).metadata_props}
    form = json.loads(metadata[FORM])["form"] if FORM in metadata else None
    values = list(form.values() if isinstance(form, dict) else form or ())
    if any(isinstance(value, dict | list) for value in values):
        raise ModelError(f"{title} is given no inputs inside of others", where=str(model))
    return list(form) if isinstance(form, dict) else []


def run_converter(
    title: str, command: Sequence[str], folder: Path, outputs: Sequence[str], model: Path
) -> str:
    """Run a converter in a folder, and return what it printed.

    Args:
        title: what a person calls the converter.
        command: the program with its arguments.
        folder: where it runs.
        outputs: the files that it is to leave there.
        model: that is converted, for errors.

    Raises:
        ModelError: it fails, takes too long, or leaves no such files.
        RunFolderError: there is no room for them.
    """
    try:
        code, stdout, stderr = _completed(command, folder)
    except subprocess.TimeoutExpired as error:
        what = f"{title} cannot convert it: not done after {LONGEST_S} s"
        raise ModelError(what, where=str(model)) from error
    except OSError as error:
        what = f"{title} cannot convert it: {error.strerror or error}"
        raise ModelError(what, where=str(model)) from error
    lacking = [name for name in outputs if not _is_written(folder / name)]
    if code == 0 and not lacking:
        return stdout
    require_room(folder)
    lines = (stderr.strip() or stdout.strip()).splitlines() or ["without a word"]
    reason = with_layers(lines[-1][:LONGEST_LINE], model)
    if code == 0:
        reason += f"; it wrote no {', no '.join(lacking)}"
    raise ModelError(f"{title} cannot convert it: {reason}", where=str(model))


def _completed(command: Sequence[str], folder: Path) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a converter, which ends with this process.

    Raises:
        OSError: it cannot be started.
        subprocess.TimeoutExpired: it takes too long; all that it started is ended.
        MeasurementError: it says too much.
    """
    with (
        watch() as tie,
        subprocess.Popen(  # noqa: S603 (the command is a runtime's own)
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        ) as process,
    ):
        tie(process)
        try:
            stdout, stderr = collected(process, LONGEST_S)
        finally:
            end_group(process)
    return process.returncode, stdout.decode(errors="replace"), stderr.decode(errors="replace")


def _is_written(file: Path) -> bool:
    return is_file(file) and not file.is_symlink()
