"""The `[runtime]` table of LiteRT's `benchmark_model`."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from edgespiral.measure.runtimes.litert.settings import LiteRtFileSettings
from edgespiral.measure.runtimes.native.settings import NativeSettings


class LiteRtNativeSettings(LiteRtFileSettings, NativeSettings):
    """LiteRT's `benchmark_model`, built for the device or downloaded by the user.

    Attributes:
        delegate: what runs the layers: `xnnpack` on the processor, or `gpu`.
        inference_precision: that float layers are computed in, told to the delegate.
    """

    kind: Literal["litert-native"]
    delegate: Literal["xnnpack", "gpu"] = "xnnpack"
    inference_precision: Literal["fp32", "fp16"] = "fp32"

    @property
    def float_precision(self) -> str:
        """What a float file is computed in."""
        return self.inference_precision if self.weights == "fp32" else "int8 dynamic"

    @model_validator(mode="after")
    def _one_rounding(self) -> LiteRtNativeSettings:
        if self.weights != "fp32" and self.inference_precision != "fp32":
            raise ValueError('weights = "int8" go with inference_precision = "fp32" alone')
        return self
