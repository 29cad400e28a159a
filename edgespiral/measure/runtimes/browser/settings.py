"""The `[runtime]` table of onnxruntime-web in a browser."""

from __future__ import annotations

from typing import Literal

from edgespiral.measure.settings import Affinity, Count, NonEmpty, RuntimeSettings


class BrowserSettings(RuntimeSettings):
    """onnxruntime-web in a Chromium that the Python which the transport names starts.

    Attributes:
        browser: its command there; the first installed of Chromium's and Chrome's if None.
        backend: what computes there: WebAssembly on the processor, or WebGPU.
        software_gpu: let the browser's own SwiftShader stand in for a GPU, to try the way out
            where there is none; its times say nothing of a GPU.
        package: the folder of an unpacked npm package here; node_modules/onnxruntime-web of the
            working folder, or of a folder above it, if None.
    """

    kind: Literal["browser"]
    threads: Count = 1
    affinity: Affinity | None = None
    browser: NonEmpty | None = None
    backend: Literal["wasm", "webgpu"] = "wasm"
    software_gpu: bool = False
    package: NonEmpty | None = None
