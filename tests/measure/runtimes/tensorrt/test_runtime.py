"""Reading the agent's answer; test_trtexec_agent.py has the device's side."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest

from edgespiral.core.errors import MeasurementError, ModelError
from edgespiral.export.precision import convert_untrained
from edgespiral.measure.completed import Completed
from edgespiral.measure.runtimes.base import Answer, Job
from edgespiral.measure.runtimes.tensorrt.runtime import TensorRt
from edgespiral.measure.runtimes.tensorrt.settings import TensorRtSettings

DEVICE: dict[str, Any] = {
    "device": {"device": "d", "architecture": "a", "operating_system": "o", "cores": 2},
    "runtime": {"runtime": "tensorrt", "runtime_version": "1", "provider": "gpu", "threads": 1},
    "before": {},
    "after": {},
}
TIMES = [{"computeMs": ms, "latencyMs": ms + 2} for ms in (1.0, 2.0, 1.5)]
Mode = Literal["measure", "profile"]


def parse(answers: object, model: Path, mode: Mode = "measure", **settings: Any) -> Answer:
    runtime = TensorRt(TensorRtSettings(kind="tensorrt", **settings))
    job = Job(mode, (model,), 5, 1.0, 2.0, 3, 4)
    return runtime.parse(Completed(0, json.dumps({**DEVICE, "answers": answers}), ""), job)


@pytest.mark.parametrize(
    ("transfers", "times"), [(False, (1.0, 2.0, 1.5)), (True, (3.0, 4.0, 3.5))]
)
def test_samples_are_read(transfers: bool, times: tuple[float, ...]) -> None:
    exported = [{"warmup_count": 10, "rounds": [TIMES] * 5}]
    [samples] = parse(exported, Path("net.onnx"), data_transfers=transfers).samples
    assert (samples.warmup_count, samples.rounds_ms) == (10, (times,) * 5)


def test_layers_are_read(convolution: Callable[..., Path]) -> None:
    rows = [{"count": 5}, *({"name": name, "averageMs": 0.5} for name in ("conv + r", "fc"))]
    [layers] = parse([{"profile": rows, "layers": {}}], convolution(), "profile").layers
    assert [row.latency_ms for row in layers] == [0.5, 0.5]


@pytest.mark.parametrize("answers", [[], None, [1], [{}], [{"warmup_count": 1, "rounds": [[]]}]])
def test_an_answer_that_is_not_whole_is_an_error(answers: object) -> None:
    with pytest.raises(MeasurementError):
        parse(answers, Path("net.onnx"))


@pytest.mark.parametrize("time", ["0.5", "0,5", True, None, float("nan"), 1e400, -1, 0, 1e12, [1]])
def test_a_time_that_cannot_be_is_refused(time: object) -> None:
    exported = [{"warmup_count": 10, "rounds": [[*TIMES[1:], {"computeMs": time}]] * 5}]
    with pytest.raises(MeasurementError):
        parse(exported, Path("net.onnx"))


@pytest.mark.parametrize("rounds", [[TIMES] * 4, [TIMES] * 6, [TIMES[1:]] * 5, [TIMES * 50] * 5])
def test_other_rounds_and_samples_than_were_asked_for_are_refused(rounds: object) -> None:
    with pytest.raises(MeasurementError, match=r"rounds|samples a round"):
        parse([{"warmup_count": 10, "rounds": rounds}], Path("net.onnx"))


@pytest.mark.parametrize("mean", ["0.5", True, None, float("nan"), -1.0, 1e300])
def test_a_layer_s_time_that_cannot_be_is_refused(
    convolution: Callable[..., Path], mean: object
) -> None:
    rows = [{"name": name, "averageMs": mean} for name in ("conv + r", "fc")]
    with pytest.raises(MeasurementError):
        parse([{"profile": rows, "layers": {}}], convolution(), "profile")


def test_what_the_device_needs_is_pushed(convolution: Callable[..., Path]) -> None:
    runtime = TensorRt(TensorRtSettings(kind="tensorrt", dla_core=0))
    files = runtime.files(Job("measure", (convolution(),), 5, 1.0, 2.0, 3, 4, {"": (1, 3, 8, 8)}))
    assert {"agent.py", "trtexec_agent.py", "model-0/net.onnx", "request.json"} == set(files)
    request = json.loads(str(files["request.json"]))
    assert (request["dla_core"], request["precision"]) == (0, "fp16")
    assert request["shapes"] == {"x": [1, 3, 8, 8]}
    assert runtime.argv("python3") == ["python3", "trtexec_agent.py", "request.json"]


def test_an_engine_does_not_tell_which_input_a_shape_is_for(tmp_path: Path) -> None:
    engine = tmp_path / "net.engine"
    engine.write_bytes(b"engine")
    runtime = TensorRt(TensorRtSettings(kind="tensorrt"))
    named, nameless = (
        Job("measure", (engine,), 5, 1.0, 2.0, 3, 4, shapes={name: (1, 3)}) for name in ("x", "")
    )
    request = runtime.files(named)["request.json"]
    assert isinstance(request, str)
    assert json.loads(request)["is_engine"] == [True]
    with pytest.raises(ModelError, match="give the shape by the input's name"):
        runtime.files(nameless)


def test_a_file_in_half_precision_is_not_measured_under_another_name(
    convolution: Callable[..., Path],
) -> None:
    half = convert_untrained(convolution(), "fp16", "tensorrt")
    runtime = TensorRt(TensorRtSettings(kind="tensorrt", precision="fp32"))
    assert runtime.precision(half) == "fp16"
    assert runtime.precision(convolution()) == "fp32"
    models = (half, convolution())
    request = runtime.files(Job("measure", models, 5, 1.0, 2.0, 3, 4))["request.json"]
    assert json.loads(str(request))["precision_flags"] == [["--fp16"], []]
