"""Reading output without a device; the samples are this project's own, in the tool's formats."""

import json
from pathlib import Path
from typing import Any, Literal

import pytest
from device_states import PIXEL

from edgespiral.core.errors import EdgeSpiralError, MeasurementError, ModelError, TargetError
from edgespiral.measure.completed import Completed
from edgespiral.measure.runtimes.android.output import perf_test_document, sample_times
from edgespiral.measure.runtimes.base import Job

FACTS = """manufacturer=Google
model=Pixel 6
soc=Tensor
android=14
architecture=aarch64
system=Linux 5.10.149
pinned= 6 7
cores=8
"""


def csv(*seconds: str) -> str:
    return "".join(f"model-0,{s},41230336,12,{run}\n" for run, s in enumerate(seconds))


def whole(rounds: list[str], kind: str = "round") -> str:
    body = "".join(f"@ {kind} 0{' 2' if kind == 'profile' else ''}\n{one}" for one in rounds)
    before = f"welcome\n@ facts\n{FACTS}@ before\n{PIXEL}@ warm 0 60\n"
    return f"{before}{body}@ after\n{PIXEL}@ end\n"


def read(output: str, mode: Literal["measure", "profile"] = "measure", code: int = 0) -> Any:
    job = Job(mode, (Path("net.onnx"),), 2, 1.0, 2.0, 3, 4)
    return perf_test_document(Completed(code, output, ""), job, 1)


def test_samples_are_single_inferences_in_ms() -> None:
    document = read(whole([csv("0.9", "0.00123", "9.8e-05"), csv("0.8", "0.00125")]))
    [samples] = document["samples"]
    assert samples["warmup_count"] == 60
    assert [pytest.approx([1.23, 0.098]), pytest.approx([1.25])] == samples["rounds_ms"]
    assert document["device"] == {
        "device": "Google Pixel 6 (Tensor)",
        "architecture": "aarch64",
        "operating_system": "Android 14",
        "cores": 2,
    }
    assert document["pinned"] == ["6", "7"]


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["model-0,fast,1,2,0"],
        ["model-0,0.1,1,2"],
        ["model-0,0.1,1,2,1"],
        ["model-0,0,001234,1,2,0"],
        ["model-0,1,5,1,2,0"],
        ["model-0,0.1,1,12,5,0"],
        ["model-0,nan,1,2,0"],
        ["model-0,-0.1,1,2,0"],
        ["model-0,1_0,1,2,0"],
        ["model-0,001,1,2,0"],
        ["", "P50 Latency is 0.1sec"],
    ],
)
def test_a_line_without_a_time_is_an_error(lines: list[str]) -> None:
    with pytest.raises(MeasurementError):
        sample_times(lines)


def event(name: str, us: int) -> dict[str, Any]:
    shapes = [{"float": [1, 3, 8, 8]}, {"float": [16, 3, 3, 3]}]
    arguments = {
        "op_name": "Conv",
        "node_index": "0",
        "input_type_shape": shapes,
        "output_type_shape": [{"float": [1, 16, 8, 8]}],
    }
    return {"cat": "Node", "name": f"{name}_kernel_time", "dur": us, "args": arguments}


def test_layers_are_means_over_rounds() -> None:
    profiles = [json.dumps([event("c", us)] * 3) + "\n" for us in (100, 300)]
    [[layer]] = read(whole(profiles, "profile"), "profile")["layers"]
    assert (layer["operator"], layer["latency_ms"]) == ("conv", pytest.approx(0.2))
    for bad in ("[", "[1]", "{}"):
        with pytest.raises(MeasurementError):
            read(whole([f"{bad}\n", profiles[1]], "profile"), "profile")


@pytest.mark.parametrize(
    "output",
    ["", "@ facts\n", whole([csv("1", "2")]), whole([csv("1", "2")] * 2).replace("@ end\n", "")],
)
def test_output_that_is_not_whole_is_an_error(output: str) -> None:
    with pytest.raises(MeasurementError):
        read(output)


@pytest.mark.parametrize(
    ("told", "kind", "problem"),
    [
        ("failed 0 255\nRun failed:bad node", ModelError, r"net.onnx: cannot be run: .*bad node"),
        ("failed 0 126\nPermission denied", TargetError, "does not run there: Permission"),
        ('failed 0 1\nCANNOT LINK EXECUTABLE "./x": library "a.so"', TargetError, "libraries"),
        ("failed 0 1\nERROR: Unknown command line flag 'z'", TargetError, "later ONNX Runtime"),
        ("failed 0 255\nXNNPACK is not supported in this build", TargetError, "that execution pr"),
        ("wordless 0\nfailed to open result file", MeasurementError, "wrote no times: failed to"),
        ("unpinnable 8 9", TargetError, "pinned to cores 8, 9; name others in"),
        ("crowded 9 8", TargetError, "9 threads would take turns on 8 cores; ask for fewer"),
    ],
)
def test_a_failure_is_told(told: str, kind: type[EdgeSpiralError], problem: str) -> None:
    with pytest.raises(kind, match=problem):
        read(f"@ facts\n@ before\n@ {told}\n", code=1)
