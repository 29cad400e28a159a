"""Runtimes, by the `kind` of a profile's `[runtime]`: one line each."""

from edgespiral.measure.runtime.base import RUNTIMES, Answer, Job, Runtime
from edgespiral.measure.runtime.onnxruntime import OnnxRuntime

RUNTIMES.register("onnxruntime")(OnnxRuntime.from_profile)

__all__ = ["RUNTIMES", "Answer", "Job", "OnnxRuntime", "Runtime"]
