"""ONNX Runtime through its Python package, by the agent that is pushed along."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from edgespiral.core.errors import ModelError, TargetError
from edgespiral.core.profile import OnnxRuntimeProfile
from edgespiral.measure.model_files import is_engine, precision_of, pushed_models
from edgespiral.measure.runtime.agent_answer import agent_document, whole_answer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgespiral.core.profile import TargetProfile
    from edgespiral.core.records import Precision
    from edgespiral.measure.completed import Completed
    from edgespiral.measure.runtime.base import Answer, Job

AGENT = Path(__file__).parents[1] / "agent.py"
REQUEST = "request.json"


class OnnxRuntime:
    """Runs the agent.

    Args:
        threads: threads inside an operator.
        provider: the execution provider that must run the model.
        system_root: the folder that holds the device's `sys` and `proc`.
    """

    def __init__(self, threads: int, provider: str, *, system_root: str = "/") -> None:
        self._settings = {"threads": threads, "provider": provider, "system_root": system_root}

    @classmethod
    def from_profile(cls, profile: TargetProfile) -> OnnxRuntime:
        """The runtime that a profile describes."""
        assert isinstance(profile.runtime, OnnxRuntimeProfile)
        return cls(profile.runtime.threads, profile.runtime.provider)

    def files(self, job: Job) -> Mapping[str, Path | str]:
        """The agent, the models with what belongs to them, and the request."""
        if job.mode == "build":
            raise TargetError(
                "ONNX Runtime has no engines: it runs the ONNX file itself",
                hint='choose a target whose runtime is "tensorrt" or "tensorrt-rtx"',
            )
        for model in filter(is_engine, job.models):
            raise ModelError(
                "ONNX Runtime cannot run an engine of TensorRT",
                where=str(model),
                hint='name its ONNX file, or a target whose runtime is "tensorrt"',
            )
        models, names = pushed_models(job.models)
        request = {**self._settings, **job.request(), "models": names}
        return {"agent.py": AGENT, **models, REQUEST: json.dumps(request)}

    def argv(self, python: str) -> list[str]:
        """The agent, with its request."""
        return [python, "agent.py", REQUEST]

    def precision(self, model: Path) -> Precision:
        """That the file is written in."""
        return precision_of(model)

    def parse(self, completed: Completed, job: Job) -> Answer:
        """The agent's document, which is the last line that it prints."""
        return whole_answer(agent_document(completed, job), job)
