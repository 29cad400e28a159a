"""ONNX Runtime through its Python package, by the agent that is pushed along."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgespiral.measure.runtimes.agent import CPU
from edgespiral.measure.runtimes.agent_answer import agent_document, reading, whole_answer
from edgespiral.measure.runtimes.agent_runtime import AgentRuntime
from edgespiral.measure.runtimes.onnxruntime.profile import check_placement, layer_times

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgespiral.measure.completed import Completed
    from edgespiral.measure.runtimes.base import Answer, Job
    from edgespiral.measure.runtimes.onnxruntime.settings import OnnxRuntimeSettings

ONNXRUNTIME_AGENT = Path(__file__).with_name("onnxruntime_agent.py")
# It has threads of its own, beside which those of the session would only be in the way.
XNNPACK = "XnnpackExecutionProvider"


class OnnxRuntime(AgentRuntime):
    """Runs the agent.

    Args:
        settings: of the profile.
        system_root: the folder that holds the device's `sys` and `proc`.
    """

    def __init__(self, settings: OnnxRuntimeSettings, *, system_root: str = "/") -> None:
        own = {"intra_op_num_threads": str(settings.threads)}
        has_own = settings.provider == XNNPACK
        options = {
            "runtime": "onnxruntime",
            "threads": settings.threads,
            "session_threads": 1 if has_own else settings.threads,
            "affinity": settings.affinity,
            "provider": settings.provider,
            "provider_options": (own if has_own else {}) | settings.provider_options,
            "system_root": system_root,
        }
        super().__init__("ONNX Runtime", options, ONNXRUNTIME_AGENT)

    def parse(self, completed: Completed, job: Job) -> Answer:
        """The agent's document, which is the last line that it prints."""
        return agent_answer(completed, job, self._settings)


def agent_answer(completed: Completed, job: Job, settings: Mapping[str, object]) -> Answer:
    """What ONNX Runtime's agent answered, whatever form the files had that it was given.

    Args:
        completed: the command that ran it.
        job: what was asked.
        settings: that the agent was told beside the job.

    Raises:
        As `Runtime.parse`.
    """
    document = agent_document(completed, job)
    expected = {name: settings[name] for name in ("runtime", "threads")}
    if job.mode == "outputs":
        return whole_answer(document, job, expected=expected)
    wanted = str(settings["provider"])
    with reading():
        placed, provider = document.pop("placed"), document["runtime"]["provider"]
        if provider != wanted or (wanted != CPU and len(placed) != len(job.models)):
            raise ValueError(provider)
        expected["provider"] = check_placement(placed, wanted, job.models) + _chip(settings)
        document["runtime"]["provider"] = expected["provider"]
        if job.mode == "profile":
            document["layers"] = [layer_times(nodes) for nodes in document.pop("nodes")]
    return whole_answer(document, job, expected=expected)


def _chip(settings: Mapping[str, object]) -> str:
    """Which of a device's chips a provider was told to use, where it was."""
    options = settings.get("provider_options")
    chip = options.get("device_id") if isinstance(options, dict) else None
    return "" if chip is None else f" (device {chip})"
