"""TensorRT through the device's own `trtexec`, run by an agent that is pushed along."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgespiral.core.errors import MeasurementError, ModelError
from edgespiral.core.onnx_graph import fed_inputs
from edgespiral.measure.engine_files import no_engine, written_record
from edgespiral.measure.model_files import (
    is_engine,
    model_content,
    precision_of,
    pushed_models,
    read_proto,
)
from edgespiral.measure.runtimes.agent_answer import AGENT, agent_document, reading, whole_answer
from edgespiral.measure.runtimes.tensorrt.output import layer_times, sample_times
from edgespiral.measure.runtimes.weighted_layers import weighted_layers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from edgespiral.core.records.schema import Precision
    from edgespiral.measure.completed import Completed
    from edgespiral.measure.runtimes.base import Answer, Job
    from edgespiral.measure.runtimes.tensorrt.settings import TensorRtSettings

TRTEXEC_AGENT = Path(__file__).with_name("trtexec_agent.py")
REQUEST = "request.json"
QUANTISED = b"QuantizeLinear"
# The tool tells of the inferences that are under way when it has done as many as it was told.
UNDER_WAY = 100


class TensorRt:
    """Builds engines on the device and times them there.

    Args:
        settings: of the profile.
        system_root: the folder that holds the device's `sys` and `proc`.
    """

    def __init__(self, settings: TensorRtSettings, *, system_root: str = "/") -> None:
        self._settings = settings
        self._system_root = system_root

    def needs(self) -> Mapping[str, str]:
        """Nothing but its agent."""
        return {}

    def files(self, job: Job) -> Mapping[str, Path | str]:
        """The agents, the models with what belongs to them, and the request."""
        if job.mode == "build":
            no_engine(job.models)
        models, names = pushed_models(job.models)
        if self._settings.precision == "int8":
            _check_quantised(job)
        request = {
            **self._settings.model_dump(exclude={"kind"}),
            **job.request(),
            "shapes": named_shapes(job),
            "models": names,
            # Not all that is in a model's folder there: an earlier one's files may be in it too.
            "parts": [sorted(_of_one(index, models)) for index in range(len(names))],
            "is_engine": [is_engine(model) for model in job.models],
            "built": [_built_for(model) for model in job.models],
            "precision_flags": [self._precision_flags(model) for model in job.models],
            "system_root": self._system_root,
        }
        agents = {agent.name: agent for agent in (AGENT, TRTEXEC_AGENT)}
        return {**agents, **models, REQUEST: json.dumps(request)}

    def argv(self, python: str) -> list[str]:
        """The agent, with its request."""
        return [python, TRTEXEC_AGENT.name, REQUEST]

    def precision(self, model: Path) -> Precision:
        """That of the file; of a weakly typed one in fp32, that of the profile.

        An engine's is in its record, where it has one.
        """
        if is_engine(model):
            record = written_record(model, "tensorrt")
            return record.precision if record else self._settings.precision
        written = precision_of(model)
        typed = self._settings.strongly_typed or written != "fp32"
        return written if typed else self._settings.precision

    def parse(self, completed: Completed, job: Job) -> Answer:
        """The times in what `trtexec` exported, which the agent hands on."""
        document = agent_document(completed, job)
        exported = document.pop("answers", None)
        if not isinstance(exported, list) or len(exported) != len(job.models):
            raise MeasurementError("the device did not answer for every model")
        with reading():
            key, reader = self._reader(job)
            answers = [reader(*pair, job) for pair in zip(exported, job.models, strict=True)]
        return whole_answer(
            {**document, key: answers},
            job,
            expected={"runtime": "tensorrt"},
            most_round_samples=2 * job.max_round_samples + UNDER_WAY,
        )

    def _precision_flags(self, model: Path) -> list[str]:
        if self._settings.strongly_typed:
            return []
        # Explicitly quantised models still have layers that are not, which may be fp16.
        asked_half = self._settings.precision != "fp32"
        half = ["--fp16"] if asked_half or _is_half(model) else []
        return [*half, "--int8"] if _is_quantised(model) else half

    def _reader(self, job: Job) -> tuple[str, Callable[[dict[str, Any], Path, Job], object]]:
        """The answer's field for a job, and what reads its entries."""
        if job.mode == "build":
            return "engines", lambda built, _model, _job: built
        return ("layers", self._layers) if job.mode == "profile" else ("samples", self._samples)

    def _samples(self, exported: dict[str, Any], _model: Path, _job: Job) -> object:
        transfers = self._settings.data_transfers
        rounds = [sample_times(records, transfers=transfers) for records in exported["rounds"]]
        return {"warmup_count": exported["warmup_count"], "rounds_ms": rounds}

    def _layers(self, exported: dict[str, Any], model: Path, job: Job) -> object:
        nodes = weighted_layers(model, job.shapes)
        rows = layer_times(exported["profile"], exported["layers"], nodes)
        return [row.model_dump(mode="json") for row in rows]


def _is_half(model: Path) -> bool:
    return not is_engine(model) and precision_of(model) == "fp16"


def _is_quantised(model: Path) -> bool:
    return not is_engine(model) and QUANTISED in model_content(model)


def _check_quantised(job: Job) -> None:
    for model in job.models:
        if not is_engine(model) and not _is_quantised(model):
            raise ModelError(
                "has no quantised layers, so an int8 engine of it would not be int8",
                where=str(model),
                hint="quantise it, or set precision to fp16 in the target's [runtime]",
            )


def _of_one(index: int, pushed: Iterable[str]) -> Iterator[str]:
    return (name for name in pushed if name.startswith(f"model-{index}/"))


def _built_for(model: Path) -> dict[str, Any] | None:
    """What an engine's record says of where it runs; None where there is no record."""
    record = written_record(model, "tensorrt") if is_engine(model) else None
    fields = {"runtime_version", "built_on", "gpu", "compute_capability"}
    return None if record is None else record.model_dump(mode="json", include=fields)


def named_shapes(job: Job) -> dict[str, list[int]]:
    """Shapes by the inputs' own names, which TensorRT asks for; inputs are one if "" names them.

    Raises:
        ModelError: there is no ONNX file to tell the name.
    """
    if "" not in job.shapes:
        return {name: list(shape) for name, shape in job.shapes.items()}
    model = next((model for model in job.models if not is_engine(model)), None)
    if model is None:
        raise ModelError(
            "an engine does not tell the name of its input",
            where=str(job.models[0]),
            hint="give the shape by the input's name",
        )
    graph = read_proto(model).graph
    return {value.name: list(job.shapes[""]) for value in fed_inputs(graph)}
