"""ONNX Runtime with its graph optimisations off: operators run as the file has them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from edgespiral.measure.runtimes.base import Capabilities, RuntimePlugin
from edgespiral.measure.settings import Count, RuntimeSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgespiral.core.records.schema import Precision
    from edgespiral.measure.completed import Completed
    from edgespiral.measure.runtimes.base import Answer, Job

OWN_AGENT = Path(__file__).with_name("unfused_agent.py")
REQUEST = "request.json"


class UnfusedSettings(RuntimeSettings):
    """The `[runtime]` table; `kind` and `precision` are there already."""

    threads: Count = 1


class Unfused:
    """Pushes an agent and the models, and reads what the agent prints."""

    def __init__(self, settings: UnfusedSettings) -> None:
        self._threads = settings.threads

    def needs(self) -> dict[str, str]:
        """Nothing of this machine's."""
        return {}

    def files(self, job: Job) -> Mapping[str, Path | str]:
        """The agents, the models with what belongs to them, and the request."""
        from edgespiral.core.errors import TargetError
        from edgespiral.measure.model_files import pushed_models
        from edgespiral.measure.runtimes.agent_answer import AGENT
        from edgespiral.measure.runtimes.onnxruntime.runtime import ONNXRUNTIME_AGENT

        if job.mode not in ("measure", "profile"):
            raise TargetError(f"this runtime does no {job.mode}")
        models, names = pushed_models(job.models)
        request = {**job.request(), "models": names, "threads": self._threads}
        agents = {agent.name: agent for agent in (AGENT, ONNXRUNTIME_AGENT, OWN_AGENT)}
        return {**agents, **models, REQUEST: json.dumps(request)}

    def argv(self, python: str) -> list[str]:
        """The command that does the job on the device."""
        return [python, OWN_AGENT.name, REQUEST]

    def precision(self, model: Path) -> Precision:
        """That the file is written in."""
        from edgespiral.measure.model_files import precision_of

        return precision_of(model)

    def parse(self, completed: Completed, job: Job) -> Answer:
        """What the agent printed, held to what was asked."""
        from edgespiral.measure.runtimes.agent_answer import agent_document, reading, whole_answer
        from edgespiral.measure.runtimes.onnxruntime.profile import layer_times

        document = agent_document(completed, job)
        with reading():
            nodes = document.pop("nodes", [])
            document["layers"] = [layer_times(of_model) for of_model in nodes]
        expected = {"runtime": "unfused", "threads": self._threads}
        return whole_answer(document, job, expected=expected)


def _make(settings: UnfusedSettings, *, name: str, on_host: bool) -> Unfused:  # noqa: ARG001
    return Unfused(settings)


PLUGIN = RuntimePlugin(
    settings=UnfusedSettings,
    make=_make,
    capabilities=lambda _settings: Capabilities(precisions=("fp32",)),
)
