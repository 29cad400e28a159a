"""The `[runtime]` table of LiteRT's Python package."""

from __future__ import annotations

from typing import Literal

from edgespiral.measure.settings import Affinity, Count, NonEmpty, RuntimeSettings


class LiteRtFileSettings(RuntimeSettings):
    """How LiteRT's files are made.

    Attributes:
        weights: how they are stored: int8 is of each output channel, and what goes into such a
            layer is rounded to 8 bits as it comes.
        converter_python: a Python of this machine that has litert-torch; None for what the
            environment names, and else the one that runs this.
    """

    weights: Literal["fp32", "int8"] = "fp32"
    converter_python: NonEmpty | None = None

    @property
    def float_precision(self) -> str:
        """What a float file is computed in."""
        return "fp32" if self.weights == "fp32" else "int8 dynamic"


class LiteRtSettings(LiteRtFileSettings):
    """LiteRT with its XNNPACK delegate, driven by the Python that the transport names."""

    kind: Literal["litert"]
    threads: Count = 1
    affinity: Affinity | None = None
