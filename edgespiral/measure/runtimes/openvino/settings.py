"""The `[runtime]` table of OpenVINO's Python package."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from edgespiral.measure.settings import Affinity, Count, RuntimeSettings


class OpenVinoSettings(RuntimeSettings):
    """OpenVINO, driven by the Python that the transport names.

    Attributes:
        device: that runs the whole model. What leaves the choice to OpenVINO (`AUTO`, `HETERO`) is
            not taken: a figure is of one device.
        inference_precision: that float layers are computed in. OpenVINO's own default is bf16 or
            fp16 wherever the device has it.
    """

    kind: Literal["openvino"]
    threads: Count = 1
    affinity: Affinity | None = None
    device: Annotated[str, Field(pattern=r"^(CPU|GPU(\.\d+)?|NPU)$")] = "CPU"
    inference_precision: Literal["fp32", "bf16", "fp16"] = "fp32"

    @property
    def float_precision(self) -> str:
        """What a float32 file is computed in, in words."""
        return self.inference_precision
