"""What models compute on a device, by ONNX Runtime's Python package."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.measure.runtimes.agent_answer import agent_document, whole_answer
from edgespiral.measure.runtimes.onnxruntime.runtime import OnnxRuntime

if TYPE_CHECKING:
    from edgespiral.measure.completed import Completed
    from edgespiral.measure.runtimes.base import Answer, Job


class OnnxRuntimeOutputs(OnnxRuntime):
    """Runs models on a job's inputs instead of timing them."""

    def parse(self, completed: Completed, job: Job) -> Answer:
        """The agent's document, which says where the outputs are."""
        return whole_answer(agent_document(completed, job), job)
