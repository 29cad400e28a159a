"""The `[runtime]` table of ncnn's Python package."""

from __future__ import annotations

from typing import Literal

from edgespiral.measure.settings import Affinity, Count, RuntimeSettings


class NcnnSettings(RuntimeSettings):
    """ncnn, driven by the Python that the transport names."""

    kind: Literal["ncnn"]
    threads: Count = 1
    affinity: Affinity | None = None
