"""Records that tests of several packages look at: a measurement on a device that nobody has."""

from collections.abc import Sequence
from datetime import UTC, datetime

from edgespiral.core.records.measurement import (
    Fingerprint,
    Interval,
    LatencyStats,
    Measurement,
    Ratio,
)

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
            p90_ms=p50_ms * 1.1,
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
