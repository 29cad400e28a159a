"""Latency on a target: a runtime on a device, reached by a transport."""
