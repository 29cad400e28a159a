"""Runtimes, by the `kind` of a profile's `[runtime]`: one line each."""

from edgespiral.measure.runtime.android import AndroidPerfTest
from edgespiral.measure.runtime.base import RUNTIMES, Answer, Job, Runtime
from edgespiral.measure.runtime.onnxruntime import OnnxRuntime
from edgespiral.measure.runtime.tensorrt import TensorRt
from edgespiral.measure.runtime.tensorrt_rtx import TensorRtRtx

RUNTIMES.register("android")(AndroidPerfTest.from_profile)
RUNTIMES.register("onnxruntime")(OnnxRuntime.from_profile)
RUNTIMES.register("tensorrt")(TensorRt.from_profile)
RUNTIMES.register("tensorrt-rtx")(TensorRtRtx.from_profile)

__all__ = [
    "RUNTIMES",
    "AndroidPerfTest",
    "Answer",
    "Job",
    "OnnxRuntime",
    "Runtime",
    "TensorRt",
    "TensorRtRtx",
]
