"""The `[runtime]` table of MNN's Python package."""

from __future__ import annotations

from typing import Literal

from edgespiral.measure.settings import Affinity, Count, RuntimeSettings


class MnnSettings(RuntimeSettings):
    """MNN, driven by the Python that the transport names.

    Attributes:
        inference_precision: that float layers are computed in: fp16 is MNN's "low".
        weights: how they are stored: int8 is MNN's own, of each output channel, and takes a quarter
            of the memory.
    """

    kind: Literal["mnn"]
    threads: Count = 1
    affinity: Affinity | None = None
    inference_precision: Literal["fp32", "fp16"] = "fp32"
    weights: Literal["fp32", "int8"] = "fp32"

    @property
    def float_precision(self) -> str:
        """What a float32 file is computed in, its weights' precision included."""
        stored = "" if self.weights == "fp32" else f" {self.weights} weights"
        return self.inference_precision + stored
