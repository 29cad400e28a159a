"""LiteRT's `benchmark_model` over adb; stand-ins take the places of phone, tool and converter."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from edgespiral.core.errors import ModelError, TargetError
from edgespiral.measure.runtimes.base import Job
from edgespiral.measure.runtimes.litert_native.runtime import LiteRtNative
from edgespiral.measure.runtimes.litert_native.settings import LiteRtNativeSettings
from edgespiral.measure.session import Session


def test_it_is_measured_and_tells_what_it_computes(
    phone: Any, named: dict[str, Any], tiny: Path, tmp_path: Path
) -> None:
    values = np.random.default_rng(0).normal(size=(3, 16, 32, 32)).astype(np.float32)
    np.save(tmp_path / "given.npy", values)
    with Session(phone.profile(named)) as session:
        [measurement] = session.measure([tiny])
        files = session.outputs([tiny], tmp_path / "given.npy", tmp_path)
    # 5 rounds of 3 samples, each the mean of one start.
    assert [len(times) for times in measurement.rounds_ms] == [3] * 5
    assert measurement.load_ms == pytest.approx(0.352)
    about = measurement.fingerprint
    assert (about.runtime, about.provider, about.precision) == ("litert-native", "XNNPACK", "fp32")
    assert about.runtime_version.startswith("build ")
    assert files is not None
    alone = onnxruntime.InferenceSession(tiny)
    expected = [alone.run(None, {"x0": sample[None]})[0] for sample in values]
    assert np.load(files[0]) == pytest.approx(np.concatenate(expected), abs=1e-6)
    assert list(phone.folder.iterdir()) == []


def test_what_cannot_be_asked_is_refused_here(named: dict[str, Any], tiny: Path) -> None:
    runtime = LiteRtNative(LiteRtNativeSettings(**named))
    with pytest.raises(TargetError, match="benchmark_model does not tell the times of layers"):
        runtime.files(Job("profile", (tiny,), 5, 1.0, 2.0, 3, 4))
    with pytest.raises(ModelError, match="LiteRT is made of a PyTorch module"):
        runtime.files(Job("measure", (tiny,), 5, 1.0, 2.0, 3, 4))
    missing = LiteRtNative(LiteRtNativeSettings(**{**named, "binary": "no/tool"}))
    with pytest.raises(TargetError, match=r"runtime.binary: no such file: no/tool.*LiteRT on a ph"):
        missing.needs()
    with pytest.raises(ValueError, match="int8"):
        LiteRtNativeSettings(**named, weights="int8", inference_precision="fp16")


def test_the_delegate_is_told_what_to_compute_in(named: dict[str, Any]) -> None:
    settings = LiteRtNativeSettings(**named, delegate="gpu", inference_precision="fp16", threads=4)
    assert settings.float_precision == "fp16"
    flags = LiteRtNative(settings)._flags()
    assert flags == ["--num_threads=4", "--use_gpu=true", "--gpu_precision_loss_allowed=true"]
