"""ncnn through its Python package, by an agent of its own; files are converted here."""

from __future__ import annotations

import weakref
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from edgespiral.core.errors import TargetError
from edgespiral.core.system.temporary import work_folder
from edgespiral.measure.model_files import model_sha256
from edgespiral.measure.runtimes.agent_answer import agent_document, whole_answer
from edgespiral.measure.runtimes.agent_runtime import AgentRuntime
from edgespiral.measure.runtimes.ncnn.convert import Converted, converted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgespiral.measure.completed import Completed
    from edgespiral.measure.runtimes.base import Answer, Job
    from edgespiral.measure.runtimes.ncnn.settings import NcnnSettings

NCNN_AGENT = Path(__file__).with_name("ncnn_agent.py")


class Ncnn(AgentRuntime):
    """Runs ncnn's agent.

    Args:
        settings: of the profile.
        system_root: the folder that holds the device's `sys` and `proc`.
    """

    def __init__(self, settings: NcnnSettings, *, system_root: str = "/") -> None:
        options = {
            **settings.model_dump(include={"threads", "affinity"}),
            "system_root": system_root,
        }
        super().__init__("ncnn", options, NCNN_AGENT)
        self._open = ExitStack()
        # Whoever has the runtime does not close it.
        weakref.finalize(self, self._open.close)
        self._converted: dict[str, Converted] = {}

    def files(self, job: Job) -> Mapping[str, Path | str]:
        """The agents, the converted models and the request.

        Raises:
            TargetError: times of layers are asked for.
            MissingExtraError: what converts is not installed here.
        """
        if job.mode == "profile":
            raise TargetError(
                "ncnn does not tell the times of layers, which planning learns from",
                hint="compress on another runtime, and race the result",
            )
        return super().files(job)

    def pushed(self, job: Job) -> tuple[dict[str, Path], dict[str, object]]:
        """The models in ncnn's files, each in a folder, and what the agent has to know of each."""
        models = [self._of(model, job) for model in job.models]
        files: dict[str, Path] = {}
        for index, model in enumerate(models):
            files[f"model-{index}/{model.param.name}"] = model.param
            files[f"model-{index}/{model.weights.name}"] = model.weights
        names = [f"model-{index}" for index in range(len(models))]
        return files, {"models": names, "about": [model.about for model in models]}

    def parse(self, completed: Completed, job: Job) -> Answer:
        """The agent's document."""
        expected = {"runtime": "ncnn", "threads": self._settings["threads"]}
        return whole_answer(agent_document(completed, job), job, expected=expected)

    def _of(self, model: Path, job: Job) -> Converted:
        key = f"{model_sha256(model)} {sorted(job.shapes.items())}"
        if key not in self._converted:
            folder = self._open.enter_context(work_folder())
            self._converted[key] = converted(model, folder, job.shapes)
        return self._converted[key]
