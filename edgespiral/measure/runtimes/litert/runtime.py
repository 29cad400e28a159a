"""LiteRT through its Python package, by an agent of its own; files are made here."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from edgespiral.measure.runtimes.agent_answer import agent_document, reading, whole_answer
from edgespiral.measure.runtimes.converting import ConvertingRuntime, subjects_of
from edgespiral.measure.runtimes.litert.convert import (
    KIND,
    TITLE,
    converted,
    converting_together,
    made_by,
)
from edgespiral.measure.runtimes.litert.placement import provider_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgespiral.measure.completed import Completed
    from edgespiral.measure.runtimes.base import Answer, Job
    from edgespiral.measure.runtimes.conversions import Convert, Converted, Subject
    from edgespiral.measure.runtimes.litert.settings import LiteRtSettings

LITERT_AGENT = Path(__file__).with_name("litert_agent.py")
LEAST_TOGETHER = 2


class LiteRt(ConvertingRuntime):
    """Runs LiteRT's agent.

    Args:
        settings: of the profile.
        system_root: the folder that holds the device's `sys` and `proc`.
    """

    def __init__(self, settings: LiteRtSettings, *, system_root: str = "/") -> None:
        own = settings.model_dump(include={"threads", "affinity"})
        own |= {"float_precision": settings.float_precision, "system_root": system_root}
        super().__init__(TITLE, KIND, own, LITERT_AGENT, made_by=made_by(settings))
        self._chosen = settings

    def convert(self, subject: Subject, folder: Path) -> Converted:
        """By litert-torch.

        Raises:
            As `converted`.
        """
        return converted(subject, folder, self._chosen)

    @contextmanager
    def converting(self, job: Job) -> Iterator[Convert]:
        """Several models by one process."""
        subjects = self._conversions.missing(subjects_of(job))
        if len(subjects) < LEAST_TOGETHER:
            yield self.convert
            return
        with converting_together(subjects, self._conversions.key, self._chosen) as convert:
            yield convert

    def parse(self, completed: Completed, job: Job) -> Answer:
        """The agent's document, held to the precision that was asked for.

        Raises:
            TargetError: the delegate leaves layers with weights to other kernels.
        """
        document = agent_document(completed, job)
        expected = {name: self._settings[name] for name in ("threads", "float_precision")}
        expected["runtime"] = "litert"
        with reading():
            placed = zip(job.models, document.pop("placed"), strict=True)
            document["runtime"]["provider"] = provider_of(placed)
        return whole_answer(document, job, expected=expected)
