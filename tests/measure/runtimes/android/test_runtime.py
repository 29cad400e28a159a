"""The runtime over adb, where stand-ins take the places of device and tool."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgespiral.core.errors import EdgeSpiralError, MeasurementError, ModelError, TargetError
from edgespiral.measure.completed import Completed
from edgespiral.measure.runtimes.android.runtime import AndroidPerfTest
from edgespiral.measure.runtimes.android.settings import AndroidSettings
from edgespiral.measure.runtimes.base import Job
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
    runtime = AndroidPerfTest(AndroidSettings(kind="android", binary=str(perf_test)))
    with pytest.raises(ModelError, match="is not an ONNX file"):
        runtime.files(Job("measure", (tmp_path / "net.tflite",), 5, 1.0, 2.0, 3, 4))
    missing = AndroidPerfTest(AndroidSettings(kind="android", binary="nowhere/perf_test"))
    told = pytest.raises(TargetError, match=r"runtime.binary: no such file: nowhere.*build onnx")
    with told:
        missing.needs()


def test_libraries_go_along_and_tell_the_version(perf_test: Path, tmp_path: Path) -> None:
    library = tmp_path / "libonnxruntime.so"
    library.write_bytes(b"\0VERS_1.20.1\0")
    settings = AndroidSettings(kind="android", binary=str(perf_test), libraries=[str(library)])
    assert AndroidPerfTest(settings).needs()["version"] == "1.20.1"
    files = AndroidPerfTest(settings).files(Job("measure", (), 5, 1.0, 2.0, 3, 4))
    assert {"onnxruntime_perf_test", "libonnxruntime.so", "measure.sh"} == set(files)


STATE = "scaling_cur_freq=1000000\n"
FACTS = "@ facts\nmodel=Phone\ncores=8\npinned=0\n@ before\n" + STATE
TIMES = "@ round 0\n" + "".join(f"model-0,0.00{run + 1},4096,12,{run}\n" for run in range(6))
WHOLE = f"{FACTS}@ warm 0 60\n{TIMES * 5}@ after\n{STATE}@ end\n"
FORGED = [
    *("", "@ ", "@ \n@ end", "@ end", "@ failed", "@ failed 7 1", "@ failed x 1", "@ failed 0 x"),
    *("@ wordless", "@ wordless 9", FACTS, FACTS + "@ end", WHOLE.replace("@ end\n", "")),
    *(WHOLE.replace("@ warm 0 60", other) for other in ("@ warm 0", "@ warm 0 x", "@ warm 1 60")),
    *(WHOLE.replace("pinned=0", f"pinned={other}") for other in ("x", "-1", "0.5")),
    *(WHOLE.replace("pinned=0", "").replace("cores=8", f"cores={o}") for o in ("x", "8²", "-3")),
    WHOLE.replace(TIMES * 5, TIMES * 4),
    WHOLE.replace(TIMES * 5, TIMES * 6),
    WHOLE.replace("model-0,0.006,4096,12,5\n", "").replace("model-0,0.005,4096,12,4\n", ""),
    WHOLE.replace("0.003", "0,003"),
    WHOLE.replace("0.004", "nan"),
    WHOLE.replace("0.005", "-1"),
    WHOLE.replace("0.006", "1e9"),
]


def parsed(perf_test: Path, output: str) -> Any:
    runtime = AndroidPerfTest(AndroidSettings(kind="android", binary=str(perf_test)))
    job = Job("measure", (Path("net.onnx"),), 5, 1.0, 2.0, 3, 4)
    return runtime.parse(Completed(0, output, ""), job)


def test_a_whole_output_is_read(perf_test: Path) -> None:
    [samples] = parsed(perf_test, WHOLE).samples
    assert samples.rounds_ms == (pytest.approx((4, 5, 6)),) * 5


@pytest.mark.parametrize("output", FORGED, ids=range(len(FORGED)))
def test_a_forged_output_is_one_clear_error(perf_test: Path, output: str) -> None:
    with pytest.raises(EdgeSpiralError) as caught:
        parsed(perf_test, output)
    assert isinstance(caught.value, MeasurementError | TargetError)
    assert "\n" not in str(caught.value)
