"""ONNX Runtime's agent on files in its mobile format, which are converted here."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

from edgespiral.measure.runtimes.agent import CPU
from edgespiral.measure.runtimes.converting import ConvertingRuntime
from edgespiral.measure.runtimes.onnxruntime.runtime import ONNXRUNTIME_AGENT, agent_answer
from edgespiral.measure.runtimes.onnxruntime_mobile.convert import MODEL, converted, platform_of

if TYPE_CHECKING:
    from pathlib import Path

    from edgespiral.measure.completed import Completed
    from edgespiral.measure.runtimes.base import Answer, Job
    from edgespiral.measure.runtimes.conversions import Converted, Subject
    from edgespiral.measure.runtimes.onnxruntime_mobile.settings import OnnxRuntimeMobileSettings

KIND = "onnxruntime-mobile"


class OnnxRuntimeMobile(ConvertingRuntime):
    """Runs ONNX Runtime's agent on `.ort` files.

    Args:
        settings: of the profile.
        on_host: whether they run on this machine.
        system_root: the folder that holds the device's `sys` and `proc`.
    """

    tells_layers = True

    def __init__(
        self, settings: OnnxRuntimeMobileSettings, *, on_host: bool, system_root: str = "/"
    ) -> None:
        here = platform_of(platform.machine()) if on_host else "arm"
        self._platform = settings.platform or here
        options = {
            "runtime": KIND,
            "threads": settings.threads,
            "session_threads": settings.threads,
            "affinity": settings.affinity,
            "provider": CPU,
            "provider_options": {},
            "platform": self._platform,
            "system_root": system_root,
        }
        super().__init__(
            "ONNX Runtime's mobile format",
            KIND,
            options,
            ONNXRUNTIME_AGENT,
            made_by={"platform": self._platform},
        )

    def convert(self, subject: Subject, folder: Path) -> Converted:
        """By ONNX Runtime's own tool.

        Raises:
            ModelError: it cannot convert the model.
        """
        return converted(subject.model, folder, self._platform)

    def pushed(self, job: Job) -> tuple[dict[str, Path], dict[str, object]]:
        """The converted models, and what the agent calls them."""
        files, request = super().pushed(job)
        names = [f"model-{index}/{MODEL}" for index in range(len(job.models))]
        return {name: files[name] for name in names}, request | {"models": names}

    def parse(self, completed: Completed, job: Job) -> Answer:
        """The agent's document, held to what was asked for."""
        return agent_answer(completed, job, self._settings)
