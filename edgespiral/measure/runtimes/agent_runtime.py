"""A runtime that is driven on the device by Python and an agent that is pushed along."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from edgespiral.core.errors import ModelError
from edgespiral.measure.engine_files import no_engines
from edgespiral.measure.model_files import is_engine, precision_of, pushed_models
from edgespiral.measure.runtimes.agent_answer import AGENT, AGENT_ENERGY, AGENT_OUTPUTS
from edgespiral.measure.runtimes.base import INPUTS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from edgespiral.core.records.schema import Precision
    from edgespiral.measure.runtimes.base import Job

REQUEST = "request.json"


class AgentRuntime:
    """What all of them share: the request, the agents, the models with what belongs to them.

    Args:
        title: what a person calls the runtime.
        settings: what the agent is told beside the job.
        agent: that the device runs, beside `agent.py`.
    """

    def __init__(self, title: str, settings: Mapping[str, object], agent: Path) -> None:
        self._title, self._settings, self._agent = title, dict(settings), agent

    def needs(self) -> Mapping[str, str]:
        """Nothing but its agent."""
        return {}

    def files(self, job: Job) -> Mapping[str, Path | str]:
        """The agents, the models with what belongs to them, the request, and inputs if any."""
        if job.mode == "build":
            raise no_engines(self._title)
        for model in filter(is_engine, job.models):
            raise ModelError(
                f"{self._title} cannot run an engine of TensorRT",
                where=str(model),
                hint='name its ONNX file, or a target whose runtime is "tensorrt"',
            )
        models, names = self.pushed(job)
        request = {**self._settings, **job.request(), **names}
        agents = {agent.name: agent for agent in (AGENT, self._agent)}
        if job.energy_s:
            agents[AGENT_ENERGY.name] = AGENT_ENERGY
        if job.inputs is not None:
            agents |= {AGENT_OUTPUTS.name: AGENT_OUTPUTS, INPUTS: job.inputs}
        return {**agents, **models, REQUEST: json.dumps(request)}

    def pushed(self, job: Job) -> tuple[dict[str, Path], dict[str, object]]:
        """All files of a job's models by their names on the device, and what the agent is told.

        Raises:
            ModelError: as `pushed_models`.
        """
        models, names = pushed_models(job.models)
        return models, {"models": names}

    def argv(self, python: str) -> list[str]:
        """The agent, with its request."""
        return [python, self._agent.name, REQUEST]

    def precision(self, model: Path) -> Precision:
        """That the file is written in."""
        return precision_of(model)
