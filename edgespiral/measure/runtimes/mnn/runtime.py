"""MNN through its Python package, by an agent of its own; files are converted here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgespiral.measure.runtimes.agent_answer import agent_document, reading, whole_answer
from edgespiral.measure.runtimes.converting import ConvertingRuntime
from edgespiral.measure.runtimes.mnn.convert import converted
from edgespiral.measure.runtimes.mnn.layers import layer_times
from edgespiral.measure.runtimes.weighted_layers import weighted_layers

if TYPE_CHECKING:
    from edgespiral.measure.completed import Completed
    from edgespiral.measure.runtimes.base import Answer, Job
    from edgespiral.measure.runtimes.conversions import Converted, Subject
    from edgespiral.measure.runtimes.mnn.settings import MnnSettings

MNN_AGENT = Path(__file__).with_name("mnn_agent.py")
SETTINGS = {"threads", "affinity", "inference_precision", "weights"}


class Mnn(ConvertingRuntime):
    """Runs MNN's agent.

    Args:
        settings: of the profile.
        system_root: the folder that holds the device's `sys` and `proc`.
    """

    tells_layers = True

    def __init__(self, settings: MnnSettings, *, system_root: str = "/") -> None:
        own = settings.model_dump(include=SETTINGS)
        own |= {"float_precision": settings.float_precision, "system_root": system_root}
        super().__init__("MNN", "mnn", own, MNN_AGENT, made_by={"weights": settings.weights})
        self._weights = settings.weights

    def convert(self, subject: Subject, folder: Path) -> Converted:
        """By MNN's own converter."""
        return converted(subject.model, folder, subject.shapes, self._weights)

    def parse(self, completed: Completed, job: Job) -> Answer:
        """The agent's document, held to the precision that was asked for."""
        document = agent_document(completed, job)
        with reading():
            if job.mode == "profile":
                document["layers"] = [
                    layer_times(nodes, weighted_layers(model, job.shapes, recurrent=True))
                    for model, nodes in zip(job.models, document.pop("nodes"), strict=True)
                ]
        expected = {
            "runtime": "mnn",
            "threads": self._settings["threads"],
            "float_precision": self._settings["float_precision"],
        }
        return whole_answer(document, job, expected=expected)
