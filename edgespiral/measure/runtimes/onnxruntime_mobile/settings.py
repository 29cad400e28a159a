"""The `[runtime]` table of ONNX Runtime's mobile format."""

from __future__ import annotations

from typing import Literal

from edgespiral.measure.settings import Affinity, Count, RuntimeSettings


class OnnxRuntimeMobileSettings(RuntimeSettings):
    """ONNX Runtime on `.ort` files, driven by the Python that the transport names.

    Attributes:
        platform: that graphs are optimised for; None for that of this machine where the target is
            this machine, and else `arm`.
    """

    kind: Literal["onnxruntime-mobile"]
    threads: Count = 1
    affinity: Affinity | None = None
    platform: Literal["arm", "amd64"] | None = None
