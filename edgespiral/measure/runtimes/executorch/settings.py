"""The `[runtime]` table of ExecuTorch's Python package."""

from __future__ import annotations

from typing import Literal

from edgespiral.measure.settings import Affinity, Count, RuntimeSettings


class ExecuTorchSettings(RuntimeSettings):
    """ExecuTorch with its XNNPACK delegate, driven by the Python that the transport names."""

    kind: Literal["executorch"]
    threads: Count = 1
    affinity: Affinity | None = None
