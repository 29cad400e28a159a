"""ncnn through its Python package, by an agent of its own; files are converted here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgespiral.measure.runtimes.converting import ConvertingRuntime
from edgespiral.measure.runtimes.ncnn.convert import converted

if TYPE_CHECKING:
    from edgespiral.measure.runtimes.conversions import Converted, Subject
    from edgespiral.measure.runtimes.ncnn.settings import NcnnSettings

NCNN_AGENT = Path(__file__).with_name("ncnn_agent.py")


class Ncnn(ConvertingRuntime):
    """Runs ncnn's agent.

    Args:
        settings: of the profile.
        system_root: the folder that holds the device's `sys` and `proc`.
    """

    def __init__(self, settings: NcnnSettings, *, system_root: str = "/") -> None:
        own = settings.model_dump(include={"threads", "affinity"})
        own |= {"system_root": system_root}
        super().__init__("ncnn", "ncnn", own, NCNN_AGENT, made_by={})

    def convert(self, subject: Subject, folder: Path) -> Converted:
        """By pnnx."""
        return converted(subject.model, folder, subject.shapes)
