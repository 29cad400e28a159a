"""OpenVINO through its Python package, by an agent of its own."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from edgespiral.core.errors import MissingExtraError
from edgespiral.measure.runtimes.agent_answer import agent_document, reading, whole_answer
from edgespiral.measure.runtimes.agent_runtime import AgentRuntime
from edgespiral.measure.runtimes.openvino.layers import layer_times

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgespiral.measure.completed import Completed
    from edgespiral.measure.runtimes.base import Answer, Job
    from edgespiral.measure.runtimes.openvino.settings import OpenVinoSettings

OPENVINO_AGENT = Path(__file__).with_name("openvino_agent.py")
PACKAGE = "openvino"
SETTINGS = {"threads", "affinity", "device", "inference_precision"}


class OpenVino(AgentRuntime):
    """Runs OpenVINO's agent.

    Args:
        settings: of the profile.
        on_host: whether the Python that runs this runs the agent too.
        system_root: the folder that holds the device's `sys` and `proc`.
    """

    def __init__(
        self, settings: OpenVinoSettings, *, on_host: bool = False, system_root: str = "/"
    ) -> None:
        options = {**settings.model_dump(include=SETTINGS), "system_root": system_root}
        super().__init__("OpenVINO", options, OPENVINO_AGENT)
        self._on_host = on_host

    def files(self, job: Job) -> Mapping[str, Path | str]:
        """The agents, the models and the request.

        Raises:
            MissingExtraError: it is to run here, and is not installed.
        """
        if self._on_host and find_spec(PACKAGE) is None:
            raise MissingExtraError("the runtime openvino", "openvino")
        return super().files(job)

    def parse(self, completed: Completed, job: Job) -> Answer:
        """The agent's document, held to the device and the precision that were asked for."""
        document = agent_document(completed, job)
        with reading():
            if job.mode == "profile":
                document["layers"] = [layer_times(nodes) for nodes in document.pop("nodes")]
        expected = {
            "runtime": "openvino",
            "threads": self._settings["threads"],
            "float_precision": self._settings["inference_precision"],
        }
        return whole_answer(document, job, expected=expected)
