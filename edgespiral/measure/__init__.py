"""Latency on a target: a runtime on a device, reached by a transport."""

from edgespiral.measure.models import measure_models

__all__ = ["measure_models"]
