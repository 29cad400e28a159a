"""From PyTorch to ONNX, in the precision asked for, and what the file computes beside PyTorch."""

import onnxruntime

# Builds of some systems report use to their maker.
onnxruntime.disable_telemetry_events()
