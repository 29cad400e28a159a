"""What `benchmark_model` prints, read without one; the samples are this project's own."""

from pathlib import Path
from typing import Any

import pytest

from edgespiral.core.errors import EdgeSpiralError, MeasurementError
from edgespiral.measure.completed import Completed
from edgespiral.measure.runtimes.base import Job
from edgespiral.measure.runtimes.litert_native.output import mean_ms, operators_left
from edgespiral.measure.runtimes.litert_native.runtime import LiteRtNative
from edgespiral.measure.runtimes.litert_native.settings import LiteRtNativeSettings

HEAD = "node type, first, avg_ms, %, cdf%, mem KB, times called, name"
TABLE = f"""Profiling Info for Benchmark Initialization:
============================== Run Order ==============================
{HEAD}
AllocateTensors, 0.05, 0.05, 100%, 100%, 0, 1, AllocateTensors/0

============================== Top by Computation Time ==============================
{HEAD}
AllocateTensors, 0.05, 0.05, 100%, 100%, 0, 1, AllocateTensors/0

Operator-wise Profiling Info for Regular Benchmark Runs:
============================== Run Order ==============================
{HEAD}
TfLiteXNNPackDelegate, 0.2, 0.2, 90%, 90%, 0, 1, [a]:0
OTHER, 0.01, 0.01, 10%, 100%, 0, 1, [m.Model/torch.nn.modules.conv.Conv3d_stem;1]:4

============================== Summary by node type ==============================
[Node type], [count], [avg ms], [avg %], [cdf %], [mem KB], [times called]
TfLiteXNNPackDelegate, 1, 0.2, 90%, 90%, 0, 1

Delegate internal:
============================== Run Order ==============================
{HEAD}
Convolution (NHWC; F32) IGEMM, 0.1, 0.1, 100%, 100%, 0, 1, Delegate/Conv:0
"""


def test_what_the_delegate_leaves_is_read_off_the_model_s_own_table() -> None:
    [left] = operators_left(TABLE.splitlines())
    assert left["op_name"] == "OTHER"
    # Earlier versions tell when an operator began, too.
    earlier = TABLE.replace("node type, first", "node type, start, first")
    earlier = earlier.replace(", 0.2, 0.2,", ", 0, 0.2, 0.2,").replace(
        ", 0.01, 0.01,", ", 0, 0.01, 0.01,"
    )
    assert operators_left(earlier.splitlines()) == [left]
    with pytest.raises(MeasurementError, match="wrote no profile of the operators"):
        operators_left(TABLE.partition("Operator-wise")[0].splitlines())


@pytest.mark.parametrize(
    ("line", "summary", "count", "ms"),
    [
        ("count=8 first=20 curr=21 min=20 max=30 avg=22.25 std=3", "22.25", 8, 0.02225),
        (
            "count=8 first=9 curr=9 min=9 max=30 avg=1.45289e+06 std=3 p5=9 median=9 p95=30",
            "1.45289e+06",
            8,
            1452.89,
        ),
        ("count=8 curr=21(all same)", "21", 8, 0.021),
        ("count=1 curr=633430", "633430", 1, 633.43),
    ],
)
def test_a_mean_is_read_as_the_tool_writes_it(
    line: str, summary: str, count: int, ms: float
) -> None:
    end = "Inference timings in us: Init: 9, First inference: 0, Warmup (avg): nan, "
    for prefix in ("", "INFO: "):
        lines = [f"{prefix}count=0", f"{prefix}{line}", "", f"{prefix}{end}"]
        lines[-1] += f"Inference (avg): {summary}"
        assert mean_ms(lines, count) == pytest.approx(ms)
        with pytest.raises(MeasurementError, match=rf"timed {count} runs of {count + 1}"):
            mean_ms(lines, count + 1)
        with pytest.raises(MeasurementError, match="tells two means"):
            mean_ms([*lines[:-1], f"{prefix}{end}Inference (avg): 7"], count)


SAID = """INFO: STARTING!
INFO: Num threads: [1]
INFO: Explicitly applied XNNPACK delegate, and the model graph will be completely executed by the \
delegate.
INFO: Initialized session in 0.35ms.
INFO: count=1 curr=30
INFO: count=2 first=20 curr=21 min=20 max=21 avg=20.5 std=0
INFO: Inference timings in us: Init: 350, First inference: 30, Warmup (avg): 30, \
Inference (avg): 20.5
"""
ROUND = "@ round 0\n" + f"@ sample 0 2\n{SAID}" * 3
STATE = "scaling_cur_freq=1000000\n"
WHOLE = (
    f"@ facts\nmodel=Phone\ncores=8\npinned=0\n@ before\n{STATE}@ placed 0\n{SAID}"
    f"@ operators 0\n{TABLE}\n@ warm 0 40\n{ROUND * 5}@ after\n{STATE}@ end\n"
)


def parsed(named: dict[str, Any], output: str) -> Any:
    runtime = LiteRtNative(LiteRtNativeSettings(**named))
    job = Job("measure", (Path("net.onnx"),), 5, 1.0, 2.0, 3, 4)
    return runtime.parse(Completed(0, output, ""), job)


def test_a_whole_output_is_read(named: dict[str, Any]) -> None:
    answer = parsed(named, WHOLE)
    [samples] = answer.samples
    assert samples.rounds_ms == ((0.0205,) * 3,) * 5
    assert samples.loads_ms == (0.35,) * 5
    assert answer.runtime.provider == "XNNPACK + built-in"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("OTHER,", "CONV_3D,", r"net.onnx: XNNPACK leaves 1 of its layers .*Conv3d_stem \(CONV_3D"),
        (
            "@ after",
            "@ failed 0 0\nWARN: Unconsumed cmdline flags: --use_x",
            "use_x .*; it lacks a f",
        ),
        ("Explicitly applied XNN", "Though XNN", "the delegate XNNPACK runs none of it"),
        ("Num threads: [1]", "Num threads: [4]", "does not say that it has 1 threads"),
        ("Initialized session", "Took", "does not tell how long it loaded"),
        ("avg=20.5", "avg=nan", "timed 1 runs of 2"),
        ("avg=20.5", "avg=40.5", "tells two means: 40.5 and 20.5"),
        (ROUND * 5, ROUND * 4, "answered 4 of 5 rounds"),
        (f"@ sample 0 2\n{SAID}" * 3, f"@ sample 0 2\n{SAID}" * 2, "2 to 2 samples a round"),
        ("@ operators 0", "@ operators 1", "the device told 0 times"),
        ("@ after", "@ failed 0 1\nERROR: Failed to load model", "net.onnx: cannot be run: exit c"),
        ("@ after", "@ failed 0 126\nnot executable: 64-bit ELF", "does not run there.*processor"),
        ("@ end\n", "", "the measuring process"),
        ("@ facts", "@ fact", "the device's answer is not valid"),
        ("@ warm 0 40", "@ warm 0", "the device's answer is not valid"),
        ("times called, name", "times called", "the device's answer is not valid"),
    ],
)
def test_a_forged_output_is_one_clear_error(
    named: dict[str, Any], old: str, new: str, told: str
) -> None:
    assert old in WHOLE
    with pytest.raises(EdgeSpiralError, match=told) as caught:
        parsed(named, WHOLE.replace(old, new))
    assert "\n" not in str(caught.value)
