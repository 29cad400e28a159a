from __future__ import annotations

from datetime import UTC, datetime

import pytest
import torch
from safetensors.torch import save_model

from edgespiral import api
from edgespiral.core.records import Fingerprint, Interval, LatencyStats, Measurement
from edgespiral.data import load
from edgespiral.distill.settings import TrainSettings
from edgespiral.distill.trainer import train
from edgespiral.zoo import build

OPTIONS = {"speedup": 1.6, "epochs": 1.0, "max_drop": 20.0}


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


@pytest.fixture(scope="session")
def digits():
    return load("digits")


@pytest.fixture(scope="session")
def teacher(digits):
    """A ResNet-20 that knows digits well enough to lose something."""
    torch.manual_seed(0)
    model = build("resnet20", classes=10, input_shape=digits.input_shape)
    train(model, digits, TrainSettings(epochs=8.0))
    return model


@pytest.fixture(scope="session")
def weights(teacher, tmp_path_factory):
    path = tmp_path_factory.mktemp("teacher") / "weights.safetensors"
    save_model(teacher, str(path))
    return path


@pytest.fixture(scope="session")
def finished(teacher, digits, tmp_path_factory):
    """One run to the end, looked at by many tests."""
    return api.compress(teacher, digits, out=tmp_path_factory.mktemp("runs") / "run", **OPTIONS)
