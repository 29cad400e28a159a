from __future__ import annotations

from datetime import UTC, datetime

import pytest

from edgespiral.core.records import Fingerprint, Interval, LatencyStats, Measurement


@pytest.fixture
def a_measurement():
    """Makes a measurement of a given median, with an interval of one percent either side."""

    def make(latency_ms: float) -> Measurement:
        interval = Interval(low=0.99 * latency_ms, high=1.01 * latency_ms)
        return Measurement(
            target="host-cpu",
            model_sha256="0" * 64,
            stats=LatencyStats(
                count=3, p50_ms=latency_ms, p50_ci95_ms=interval, p90_ms=None, p99_ms=None
            ),
            rounds_ms=((latency_ms,),) * 3,
            warmup_count=1,
            fingerprint=Fingerprint(
                device="some CPU",
                architecture="x86_64",
                operating_system="Linux",
                cores=2,
                runtime="onnxruntime",
                runtime_version="1",
                provider="CPUExecutionProvider",
                threads=1,
                precision="fp32",
            ),
            measured_at=datetime(2026, 1, 1, tzinfo=UTC),
        )

    return make
