"""TensorRT for RTX through its Python package: engines for a GPU that need none to be built."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgespiral.core.errors import MeasurementError, MissingExtraError
from edgespiral.measure.engine_files import no_engine, no_timing
from edgespiral.measure.model_files import precision_of, pushed_models
from edgespiral.measure.runtimes.agent_answer import AGENT, agent_document, reading, whole_answer
from edgespiral.measure.runtimes.tensorrt.runtime import named_shapes
from edgespiral.measure.runtimes.tensorrt_rtx.layers import compiled_layers, unfused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgespiral.core.records.schema import Precision
    from edgespiral.measure.completed import Completed
    from edgespiral.measure.runtimes.base import Answer, Job

RTX_AGENT = Path(__file__).with_name("rtx_agent.py")
REQUEST = "request.json"
PACKAGE = "tensorrt_rtx"


class TensorRtRtx:
    """Builds engines and runs none.

    Args:
        name: of the target, for errors.
        compute_capability: of the GPUs that engines are for.
        on_host: whether they are built by the Python that runs this.
        package: the module that is looked for there.
    """

    def __init__(
        self, name: str, compute_capability: str, *, on_host: bool = True, package: str = PACKAGE
    ) -> None:
        self._name, self._compute_capability = name, compute_capability
        self._on_host, self._package = on_host, package

    def needs(self) -> Mapping[str, str]:
        """Nothing but its agent."""
        return {}

    def files(self, job: Job) -> Mapping[str, Path | str]:
        """The agents, the models with what belongs to them, and the request."""
        if job.mode != "build":
            raise no_timing(self._name)
        if self._on_host and importlib.util.find_spec(self._package) is None:
            raise MissingExtraError("building engines with TensorRT for RTX", "tensorrt-rtx")
        no_engine(job.models)
        models, names = pushed_models(job.models)
        request = {
            "models": names,
            "shapes": named_shapes(job),
            "compute_capability": self._compute_capability,
        }
        agents = {agent.name: agent for agent in (AGENT, RTX_AGENT)}
        return {**agents, **models, REQUEST: json.dumps(request)}

    def argv(self, python: str) -> list[str]:
        """The agent, with its request."""
        return [python, RTX_AGENT.name, REQUEST]

    def precision(self, model: Path) -> Precision:
        """That the file is written in: networks are strongly typed."""
        return precision_of(model)

    def parse(self, completed: Completed, job: Job) -> Answer:
        """The engines, with what the builder said of their layers."""
        document = agent_document(completed, job)
        answers = document.pop("answers", None)
        if not isinstance(answers, list) or not all(isinstance(answer, dict) for answer in answers):
            raise MeasurementError("the builder's answer is not valid")
        with reading():
            engines = [_read(*pair) for pair in zip(answers, job.models, strict=False)]
        expected = {"runtime": "tensorrt-rtx"}
        return whole_answer({**document, "engines": engines}, job, expected=expected)


def _read(built: dict[str, Any], model: Path) -> dict[str, Any]:
    layers = built.pop("layers", None)
    steps = None if layers is None else unfused(compiled_layers(layers), model)
    return {**built, "unfused": steps}
