import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgespiral.core.errors import (
    EdgeSpiralError,
    MeasurementError,
    ModelError,
    TargetError,
    UsageError,
)
from edgespiral.measure.completed import Completed
from edgespiral.measure.runtimes.base import Job
from edgespiral.measure.runtimes.onnxruntime.runtime import OnnxRuntime
from edgespiral.measure.runtimes.onnxruntime.settings import OnnxRuntimeSettings

RUNTIME = OnnxRuntime(OnnxRuntimeSettings(kind="onnxruntime", threads=2))
WHOLE: dict[str, Any] = {
    "device": {"device": "d", "architecture": "a", "operating_system": "o", "cores": 2},
    "runtime": {
        "runtime": "onnxruntime",
        "runtime_version": "1",
        "provider": "CPUExecutionProvider",
        "threads": 2,
    },
    "placed": [],
    "before": {},
    "after": {"load": 0.5},
    "samples": [{"warmup_count": 3, "rounds_ms": [[1.0, 2.0, 1.5]] * 5}],
}


def job(*models: Path) -> Job:
    return Job("measure", models, 5, 1.0, 2.0, 3, 4, {"x": (1, 3)})


def parse(stdout: str, code: int = 0, stderr: str = "") -> Any:
    return RUNTIME.parse(Completed(code, stdout, stderr), job(Path("net.onnx")))


def test_the_request_names_what_is_pushed(convolution: Callable[..., Path]) -> None:
    model = convolution()
    files = RUNTIME.files(job(model, model))
    request = json.loads(str(files["request.json"]))
    assert request["models"] == ["model-0/net.onnx", "model-1/net.onnx"]
    assert all(files[name] == model for name in request["models"])
    assert (request["threads"], request["rounds"], request["shapes"]) == (2, 5, {"x": [1, 3]})
    assert RUNTIME.argv("python3") == ["python3", "onnxruntime_agent.py", "request.json"]
    assert all(Path(str(files[name])).is_file() for name in ("agent.py", "onnxruntime_agent.py"))


def requested(**settings: Any) -> dict[str, Any]:
    runtime = OnnxRuntime(OnnxRuntimeSettings(kind="onnxruntime", **settings))
    request: dict[str, Any] = json.loads(str(runtime.files(job())["request.json"]))
    return request


def test_xnnpack_has_threads_of_its_own() -> None:
    plain = requested(threads=4, affinity=[2, 3], provider_options={"a": "b"})
    assert (plain["session_threads"], plain["provider_options"]) == (4, {"a": "b"})
    assert plain["affinity"] == [2, 3]
    own = requested(threads=4, provider="XnnpackExecutionProvider")
    assert (own["threads"], own["session_threads"]) == (4, 1)
    assert own["provider_options"] == {"intra_op_num_threads": "4"}


def test_an_answer_is_read_below_other_output() -> None:
    answer = parse(f"a banner of the device\n{json.dumps(WHOLE)}\n")
    assert answer.samples[0].rounds_ms == ((1.0, 2.0, 1.5),) * 5


@pytest.mark.parametrize("end", [0, 1, 40, 200, -2])
def test_an_answer_cut_in_half_is_no_answer(end: int) -> None:
    with pytest.raises(MeasurementError, match="broke off in its answer"):
        parse(json.dumps(WHOLE)[:end])


def test_a_killed_process_is_named() -> None:
    with pytest.raises(
        MeasurementError, match=r"was killed by SIGKILL; is there enough memory and space"
    ):
        parse("", -9)


def test_a_failure_outside_the_agent_shows_its_last_words() -> None:
    with pytest.raises(MeasurementError, match="failed with exit code 2: no such option"):
        parse("", 2, "no such\noption")


@pytest.mark.parametrize("sample", [0.0, -1.0, float("nan"), float("inf"), "fast", None])
def test_impossible_samples_are_refused(sample: object) -> None:
    samples = [{"warmup_count": 3, "rounds_ms": [[1.0, sample]]}]
    with pytest.raises(MeasurementError, match=r"not valid: samples.0.rounds_ms.0.1: "):
        parse(json.dumps(WHOLE | {"samples": samples}))


def test_a_placement_of_other_models_is_refused() -> None:
    with pytest.raises(MeasurementError, match="the device's answer is not valid"):
        parse(json.dumps(WHOLE | {"placed": [[{"provider": "p", "op_name": "Conv"}]] * 2}))


@pytest.mark.parametrize(
    ("part", "told"),
    [("provider", "TPUExecutionProvider"), ("threads", 4), ("runtime", "another runtime")],
)
def test_an_answer_of_something_else_than_was_asked_for_is_refused(part: str, told: object) -> None:
    runtime = WHOLE["runtime"] | {part: told}
    with pytest.raises(MeasurementError, match="the device's answer is not valid"):
        parse(json.dumps(WHOLE | {"runtime": runtime}))


def test_a_provider_has_to_tell_what_it_ran() -> None:
    provider = "XnnpackExecutionProvider"
    runtime = OnnxRuntime(OnnxRuntimeSettings(kind="onnxruntime", threads=2, provider=provider))
    document = WHOLE | {"runtime": WHOLE["runtime"] | {"provider": provider}}
    with pytest.raises(MeasurementError, match="the device's answer is not valid"):
        runtime.parse(Completed(0, json.dumps(document), ""), job(Path("net.onnx")))


def test_the_chip_that_a_provider_was_told_to_use_is_said(
    convolution: Callable[..., Path],
) -> None:
    provider, options = "CUDAExecutionProvider", {"device_id": "1"}
    settings = OnnxRuntimeSettings(
        kind="onnxruntime", threads=2, provider=provider, provider_options=options
    )
    placed = [[{"provider": provider, "op_name": "Conv", "name": "conv", "ms": 1.0}]]
    document = WHOLE | {"runtime": WHOLE["runtime"] | {"provider": provider}, "placed": placed}
    answer = OnnxRuntime(settings).parse(Completed(0, json.dumps(document), ""), job(convolution()))
    assert answer.runtime.provider == f"{provider} (device 1)"


@pytest.mark.parametrize(
    "node",
    [
        {},
        [],
        {"op_name": "Conv"},
        *(
            {
                "op_name": "Gemm",
                "durations_us": durations_us,
                "input_type_shape": [{"float": [1, 4]}, {"float": [2, 4]}],
                "output_type_shape": [{"float": [1, 2]}],
            }
            for durations_us in ([], [-3.0], ["1"], [None], [float("nan")], [1e300])
        ),
    ],
)
def test_layers_that_cannot_be_are_refused(node: object) -> None:
    document = {**WHOLE, "nodes": [[node]]}
    del document["samples"]
    profiled = Job("profile", (Path("net.onnx"),), 5, 1.0, 2.0, 3, 4)
    with pytest.raises(MeasurementError, match="the device's answer is not valid"):
        RUNTIME.parse(Completed(0, json.dumps(document), ""), profiled)


@pytest.mark.parametrize("lacking", ["placed", "runtime"])
def test_an_answer_without_a_part_is_refused(lacking: str) -> None:
    document = {key: value for key, value in WHOLE.items() if key != lacking}
    with pytest.raises(MeasurementError, match="the device's answer is not valid"):
        parse(json.dumps(document))


def test_a_missing_model_is_refused() -> None:
    with pytest.raises(MeasurementError, match="answered for 0 of 1 models"):
        parse(json.dumps(WHOLE | {"samples": []}))


@pytest.mark.parametrize(
    ("kind", "error"), [("model", ModelError), ("target", TargetError), ("usage", UsageError)]
)
def test_told_errors_become_their_kind(kind: str, error: type[EdgeSpiralError]) -> None:
    told = {"kind": kind, "what": "w", "hint": "", "model": 0}
    with pytest.raises(error, match=r"^net.onnx: w$"):
        parse(json.dumps({"error": told}), 1)


def test_an_engine_is_refused(tmp_path: Path) -> None:
    engine = tmp_path / "net.engine"
    engine.write_bytes(b"engine")
    job = Job("measure", (engine,), 5, 1.0, 2.0, 3, 4)
    with pytest.raises(ModelError, match=r"net\.engine: ONNX Runtime cannot run an engine"):
        RUNTIME.files(job)
