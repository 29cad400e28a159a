"""ONNX Runtime through its Python package, by the agent that is pushed along."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from edgespiral.core.errors import ModelError
from edgespiral.measure.engine_files import no_engines
from edgespiral.measure.model_files import is_engine, precision_of, pushed_models
from edgespiral.measure.runtimes.agent import CPU
from edgespiral.measure.runtimes.agent_answer import AGENT, agent_document, reading, whole_answer
from edgespiral.measure.runtimes.onnxruntime.profile import check_placement, layer_times

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from edgespiral.core.records.schema import Precision
    from edgespiral.measure.completed import Completed
    from edgespiral.measure.runtimes.base import Answer, Job
    from edgespiral.measure.runtimes.onnxruntime.settings import OnnxRuntimeSettings

REQUEST = "request.json"
# It has threads of its own, beside which those of the session would only be in the way.
XNNPACK = "XnnpackExecutionProvider"


class OnnxRuntime:
    """Runs the agent.

    Args:
        settings: of the profile.
        system_root: the folder that holds the device's `sys` and `proc`.
    """

    def __init__(self, settings: OnnxRuntimeSettings, *, system_root: str = "/") -> None:
        own = {"intra_op_num_threads": str(settings.threads)}
        has_own = settings.provider == XNNPACK
        self._settings = {
            "threads": settings.threads,
            "session_threads": 1 if has_own else settings.threads,
            "affinity": settings.affinity,
            "provider": settings.provider,
            "provider_options": (own if has_own else {}) | settings.provider_options,
            "system_root": system_root,
        }

    def needs(self) -> Mapping[str, str]:
        """Nothing but its agent."""
        return {}

    def files(self, job: Job) -> Mapping[str, Path | str]:
        """The agent, the models with what belongs to them, and the request."""
        if job.mode == "build":
            raise no_engines()
        for model in filter(is_engine, job.models):
            raise ModelError(
                "ONNX Runtime cannot run an engine of TensorRT",
                where=str(model),
                hint='name its ONNX file, or a target whose runtime is "tensorrt"',
            )
        models, names = pushed_models(job.models)
        request = {**self._settings, **job.request(), "models": names}
        return {AGENT.name: AGENT, **models, REQUEST: json.dumps(request)}

    def argv(self, python: str) -> list[str]:
        """The agent, with its request."""
        return [python, AGENT.name, REQUEST]

    def precision(self, model: Path) -> Precision:
        """That the file is written in."""
        return precision_of(model)

    def parse(self, completed: Completed, job: Job) -> Answer:
        """The agent's document, which is the last line that it prints."""
        document = agent_document(completed, job)
        asked = {"runtime": "onnxruntime", "threads": self._settings["threads"]}
        wanted = str(self._settings["provider"])
        with reading():
            placed, provider = document.pop("placed"), document["runtime"]["provider"]
            if provider != wanted or (wanted != CPU and len(placed) != len(job.models)):
                raise ValueError(provider)
            asked["provider"] = check_placement(placed, wanted, job.models)
            document["runtime"]["provider"] = asked["provider"]
            if job.mode == "profile":
                document["layers"] = [layer_times(nodes) for nodes in document.pop("nodes")]
        return whole_answer(document, job, expected=asked)
