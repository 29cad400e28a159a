"""Records that tests of several packages look at: a measurement on a device that nobody has."""

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np

from edgespiral.core.records.comparing.exploration import Exploration, Point
from edgespiral.core.records.events import OnDevice
from edgespiral.core.records.measurement import (
    Fingerprint,
    Interval,
    LatencyStats,
    Measurement,
    Ratio,
)
from edgespiral.core.records.metric import Metric

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def fingerprint(temperature_after_c: float | None = None) -> Fingerprint:
    return Fingerprint(
        device="Example CPU",
        architecture="x86_64",
        operating_system="Linux",
        cores=2,
        temperature_after_c=temperature_after_c,
        runtime="onnxruntime",
        runtime_version="1.32.0",
        provider="CPUExecutionProvider",
        threads=1,
        precision="fp32",
    )


def measurement(
    p50_ms: float,
    sha256: str = "0" * 64,
    *,
    target: str = "host-cpu",
    rounds_ms: Sequence[Sequence[float]] | None = None,
    temperature_after_c: float | None = None,
) -> Measurement:
    """Of that median, one percent either side; of three like samples where none are given."""
    rounds = ((p50_ms,),) * 3 if rounds_ms is None else tuple(map(tuple, rounds_ms))
    return Measurement(
        target=target,
        model_sha256=sha256,
        stats=LatencyStats(
            count=sum(map(len, rounds)),
            p50_ms=p50_ms,
            p50_ci95_ms=Interval(low=p50_ms * 0.99, high=p50_ms * 1.01),
            p90_ms=float(np.percentile([ms for samples in rounds for ms in samples], 90)),
            p99_ms=None,
        ),
        rounds_ms=rounds,
        warmup_count=50,
        fingerprint=fingerprint(temperature_after_c),
        measured_at=NOON,
    )


def ratio(value: float, half_width: float = 0.02) -> Ratio:
    """With an interval of a share either side."""
    ci95 = Interval(low=value * (1 - half_width), high=value * (1 + half_width))
    return Ratio(value=value, ci95=ci95)


def explored_point(number: int, latency_ms: float, loss_nats: float, **fields: object) -> Point:
    """A point of an exploration on one device, half of whose weights are left."""
    device = OnDevice(
        budget_ms=4.0, measurement=measurement(latency_ms), speedup=ratio(8 / latency_ms)
    )
    given: dict[str, object] = {
        "number": number,
        "target_ms": latency_ms,
        "latency_ms": latency_ms,
        "latency_ci95_ms": Interval(low=latency_ms * 0.98, high=latency_ms * 1.02),
        "widths": {"conv<1>": 8 - number},
        "devices": (device,),
        "speedups": {"host-cpu": 8 / latency_ms},
        "divergence_nats": loss_nats / 2,
        "weight_share": 0.5,
        "loss_nats": loss_nats,
        "on_front": True,
    }
    return Point.model_validate(given | fields)


def an_exploration(*points: Point, **fields: object) -> Exploration:
    """One of a net of 8 ms that scores 98 %."""
    given: dict[str, object] = {
        "plan": {"model": "net.py:<net>", "data": "digits"},
        "teacher_sha256": "0" * 64,
        "metric": Metric(name="accuracy"),
        "teacher_score": 98.0,
        "teacher": (measurement(8.0),),
        "precision": "fp32",
        "start_ms": 8.0,
        "points": points,
        "complete": True,
        "command": "edgespiral explore 'net.py:<net>'",
    }
    return Exploration.model_validate(given | fields)
