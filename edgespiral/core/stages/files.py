"""The stages around a network as what a device is sent of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from edgespiral.core.stages.latencies import Stage


@dataclass(frozen=True)
class EncodedFrame:
    """A file that is decoded for each frame; `kind`, `draft` and `is_upright` as in `Frames`."""

    path: Path
    kind: str
    draft: tuple[int, int] | None
    is_upright: bool = True


@dataclass(frozen=True)
class StageFile:
    """A file that a stage works on: its ONNX graph, or what it decodes; or none, and why."""

    stage: Stage
    what: str
    path: Path | None
    refused: str = ""


@dataclass(frozen=True)
class StageFiles:
    """All that is done for a frame beside the network.

    Attributes:
        frame: what the frame is, in words.
        encoded: the file that is decoded; None where frames come as they are.
        graphs: what follows, in order.
    """

    frame: str
    encoded: EncodedFrame | None
    graphs: tuple[StageFile, ...]
