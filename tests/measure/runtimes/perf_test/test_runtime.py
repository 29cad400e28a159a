"""The runtime over adb, where stand-ins take the places of device and tool."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgespiral.core.errors import ModelError, TargetError
from edgespiral.measure.profile import AndroidProfile
from edgespiral.measure.runtimes import AndroidPerfTest, Job
from edgespiral.measure.session import Session

Make = Callable[..., Path]


def named(perf_test: Path, **settings: object) -> dict[str, object]:
    return {"kind": "android", "binary": str(perf_test), **settings}


def test_models_take_turns_and_are_profiled(phone: Any, perf_test: Path, convolution: Make) -> None:
    phone.program("getprop", "case $1 in ro.product.model) echo Stand-in;; esac")
    # The batch size is open in one of them, and given.
    models = [convolution("a.onnx", 16, 16, batch="batch"), convolution("b.onnx", 256, 16, 2)]
    shapes = {"": (2, 3, 16, 16)}
    with Session(phone.profile(named(perf_test)), shapes=shapes) as session:
        small, large = session.measure(models)
        [layers] = session.profile_layers(models[:1], rounds=2)
    assert small.stats.p50_ms < large.stats.p50_ms
    assert len(small.rounds_ms) == len(large.rounds_ms) == 5
    about = small.fingerprint
    assert (about.device, about.runtime, about.precision) == ("Stand-in", "onnxruntime", "fp32")
    assert about.runtime_version.startswith("build ")
    assert [row.operator for row in layers] == ["conv", "gemm"]
    assert list(phone.folder.iterdir()) == []


def test_what_fails_there_is_told(
    phone: Any, perf_test: Path, convolution: Make, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(convolution().read_bytes()[:400] + b"\0")
    with Session(phone.profile(named(perf_test, provider="QNNExecutionProvider"))) as session:
        with pytest.raises(TargetError, match="is not supported in this build; build it with"):
            session.measure([convolution()])
        with pytest.raises(ModelError, match=r"bad.onnx: is not an ONNX model"):
            session.measure([bad])


def test_what_cannot_be_run_is_refused_here(perf_test: Path, tmp_path: Path) -> None:
    runtime = AndroidPerfTest(AndroidProfile(kind="android", binary=str(perf_test)))
    with pytest.raises(ModelError, match="is not an ONNX file"):
        runtime.files(Job("measure", (tmp_path / "net.tflite",), 5, 1.0, 2.0, 3, 4))
    missing = AndroidPerfTest(AndroidProfile(kind="android", binary="nowhere/perf_test"))
    told = pytest.raises(TargetError, match=r"runtime.binary: no such file: nowhere.*build onnx")
    with told:
        missing.needs()


def test_libraries_go_along_and_tell_the_version(perf_test: Path, tmp_path: Path) -> None:
    library = tmp_path / "libonnxruntime.so"
    library.write_bytes(b"\0VERS_1.20.1\0")
    settings = AndroidProfile(kind="android", binary=str(perf_test), libraries=[str(library)])
    assert AndroidPerfTest(settings).needs()["version"] == "1.20.1"
    files = AndroidPerfTest(settings).files(Job("measure", (), 5, 1.0, 2.0, 3, 4))
    assert {"onnxruntime_perf_test", "libonnxruntime.so", "measure.sh"} == set(files)
