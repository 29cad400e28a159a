"""Runtimes, by the `kind` of a profile's `[runtime]`: one line each."""

from edgespiral.measure.runtimes.base import RUNTIMES, Answer, Job, Runtime
from edgespiral.measure.runtimes.onnxruntime.outputs import OnnxRuntimeOutputs
from edgespiral.measure.runtimes.onnxruntime.runtime import OnnxRuntime
from edgespiral.measure.runtimes.perf_test.runtime import AndroidPerfTest
from edgespiral.measure.runtimes.tensorrt.runtime import TensorRt
from edgespiral.measure.runtimes.tensorrt_rtx.runtime import TensorRtRtx

RUNTIMES.register("android")(AndroidPerfTest.from_profile)
RUNTIMES.register("onnxruntime")(OnnxRuntime.from_profile)
RUNTIMES.register("tensorrt")(TensorRt.from_profile)
RUNTIMES.register("tensorrt-rtx")(TensorRtRtx.from_profile)

# Those of them that tell what a model computes, by what they do it with.
OUTPUTS = {"onnxruntime": OnnxRuntimeOutputs.from_profile}

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
