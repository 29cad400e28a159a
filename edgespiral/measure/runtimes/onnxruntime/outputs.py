"""What models compute on a device, by ONNX Runtime's Python package and an agent of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgespiral.measure.runtimes.agent_answer import agent_document, whole_answer
from edgespiral.measure.runtimes.base import INPUTS
from edgespiral.measure.runtimes.onnxruntime.runtime import REQUEST, OnnxRuntime

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgespiral.measure.completed import Completed
    from edgespiral.measure.runtimes.base import Answer, Job

OUTPUTS_AGENT = Path(__file__).with_name("outputs_agent.py")


class OnnxRuntimeOutputs(OnnxRuntime):
    """Runs models on a job's inputs instead of timing them."""

    def files(self, job: Job) -> Mapping[str, Path | str]:
        """What `OnnxRuntime` needs, the agent beside that one's, and the inputs."""
        assert job.inputs is not None
        own = {OUTPUTS_AGENT.name: OUTPUTS_AGENT, INPUTS: job.inputs}
        return {**super().files(job), **own}

    def argv(self, python: str) -> list[str]:
        """The agent, with its request."""
        return [python, OUTPUTS_AGENT.name, REQUEST]

    def parse(self, completed: Completed, job: Job) -> Answer:
        """The agent's document, which says where the outputs are."""
        return whole_answer(agent_document(completed, job), job)
