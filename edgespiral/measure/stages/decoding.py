"""Decoding as a runtime: what it is given in place of models are files that are decoded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgespiral.core.errors import TargetError
from edgespiral.core.stages import decoding
from edgespiral.measure.runtimes.agent_answer import agent_document, whole_answer
from edgespiral.measure.runtimes.agent_runtime import AgentRuntime

if TYPE_CHECKING:
    from edgespiral.core.stages.files import EncodedFrame
    from edgespiral.measure.completed import Completed
    from edgespiral.measure.runtimes.base import Answer, Job

DECODE_AGENT = Path(__file__).with_name("decode_agent.py")
DECODING = Path(decoding.__file__)


class Decoding(AgentRuntime):
    """Decodes files of one kind, by one thread, in the device's Python.

    Args:
        frame: of which `kind`, `draft` and `is_upright` say how.
        affinity: cores that the process is kept to, as a profile has them.
        system_root: the folder that holds the device's `sys` and `proc`.
    """

    def __init__(
        self, frame: EncodedFrame, affinity: object = None, *, system_root: str = "/"
    ) -> None:
        settings = {
            "threads": 1,
            "affinity": affinity,
            "system_root": system_root,
            "kind": frame.kind,
            "draft": frame.draft,
            "upright": frame.is_upright,
        }
        super().__init__("decoding", settings, DECODE_AGENT)

    def pushed(self, job: Job) -> tuple[dict[str, Path], dict[str, object]]:
        """The files that are decoded, and `decoding.py`."""
        if job.mode != "measure":
            raise TargetError(f"decoding is timed as a whole, and does no {job.mode}")
        names = {f"frame-{index}{path.suffix}": path for index, path in enumerate(job.models)}
        return {DECODING.name: DECODING, **names}, {"models": list(names)}

    def parse(self, completed: Completed, job: Job) -> Answer:
        """The agent's document, which is the last line that it prints."""
        document = agent_document(completed, job)
        return whole_answer(document, job, expected={"provider": "decoding", "threads": 1})
