"""ExecuTorch through its Python package, by an agent of its own; programs are made here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgespiral.measure.runtimes.converting import ConvertingRuntime
from edgespiral.measure.runtimes.executorch.convert import converted

if TYPE_CHECKING:
    from edgespiral.measure.runtimes.conversions import Converted, Subject
    from edgespiral.measure.runtimes.executorch.settings import ExecuTorchSettings

EXECUTORCH_AGENT = Path(__file__).with_name("executorch_agent.py")


class ExecuTorch(ConvertingRuntime):
    """Runs ExecuTorch's agent.

    Args:
        settings: of the profile.
        system_root: the folder that holds the device's `sys` and `proc`.
    """

    def __init__(self, settings: ExecuTorchSettings, *, system_root: str = "/") -> None:
        own = settings.model_dump(include={"threads", "affinity"})
        own |= {"system_root": system_root}
        super().__init__("ExecuTorch", "executorch", own, EXECUTORCH_AGENT, made_by={})

    def convert(self, subject: Subject, folder: Path) -> Converted:
        """By `torch.export` and ExecuTorch's own lowering.

        Raises:
            As `converted`.
        """
        return converted(subject, folder)
