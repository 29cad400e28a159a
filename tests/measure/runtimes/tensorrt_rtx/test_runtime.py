"""Reading the agent's answer; test_rtx_agent.py has the builder's side."""

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgespiral.core.errors import (
    ExitCode,
    MeasurementError,
    MissingExtraError,
    ModelError,
    TargetError,
)
from edgespiral.measure.completed import Completed
from edgespiral.measure.runtimes.base import Job
from edgespiral.measure.runtimes.tensorrt_rtx.runtime import TensorRtRtx

FACTS: dict[str, Any] = {
    "device": {"device": "d", "architecture": "a", "operating_system": "o", "cores": 2},
    "runtime": {"runtime": "tensorrt-rtx", "runtime_version": "1", "provider": "p", "threads": 1},
    "before": {},
    "after": {},
}


def job(model: Path, mode: Any = "build") -> Job:
    return Job(mode, (model,), 5, 1.0, 2.0, 3, 4)


def completed(*answers: object) -> Completed:
    return Completed(0, json.dumps({**FACTS, "answers": list(answers)}), "")


@pytest.fixture
def runtime() -> TensorRtRtx:
    return TensorRtRtx("rtx", "8.9", package="json")


def test_what_the_builder_needs_is_pushed(
    runtime: TensorRtRtx, convolution: Callable[..., Path]
) -> None:
    files = runtime.files(job(convolution()))
    assert {"agent.py", "rtx_agent.py", "model-0/net.onnx", "request.json"} == set(files)
    request = json.loads(str(files["request.json"]))
    assert request == {
        "models": ["model-0/net.onnx"],
        "shapes": {},
        "compute_capability": "8.9",
    }


@pytest.mark.parametrize("mode", ["measure", "profile"])
def test_it_measures_nothing_and_says_so(
    runtime: TensorRtRtx, convolution: Callable[..., Path], mode: str
) -> None:
    with pytest.raises(
        TargetError, match=r"^rtx: latency cannot be measured here: .*without a GPU"
    ):
        runtime.files(job(convolution(), mode))


def test_a_package_that_is_missing_is_an_extra(convolution: Callable[..., Path]) -> None:
    missing = TensorRtRtx("rtx", "8.9", package="no_such_package")
    with pytest.raises(
        MissingExtraError, match=r"pip install 'edgespiral\[tensorrt-rtx\]'"
    ) as told:
        missing.files(job(convolution()))
    assert told.value.exit_code == ExitCode.USAGE
    behind_ssh = TensorRtRtx("rtx", "8.9", on_host=False, package="no_such_package")
    assert behind_ssh.files(job(convolution()))


def test_an_engine_is_not_built_of_an_engine(runtime: TensorRtRtx, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"net\.engine: is an engine already; name the ONNX"):
        runtime.files(job(tmp_path / "net.engine"))


def test_an_engine_is_read(runtime: TensorRtRtx, convolution: Callable[..., Path]) -> None:
    told = {"file": "engines/0.engine", "compute_capability": "8.9", "warnings": ["w"]}
    [built] = runtime.parse(completed({**told, "layers": "Layers:\n"}), job(convolution())).engines
    assert (built.file, built.unfused, built.warnings) == ("engines/0.engine", (), ("w",))
    [silent] = runtime.parse(completed({**told, "layers": None}), job(convolution())).engines
    assert silent.unfused is None


@pytest.mark.parametrize("answers", [[], ["text"], [{}], [{"file": 3}]])
def test_an_answer_that_is_not_whole_is_an_error(
    runtime: TensorRtRtx, convolution: Callable[..., Path], answers: list[object]
) -> None:
    with pytest.raises(MeasurementError):
        runtime.parse(completed(*answers), job(convolution()))


def test_a_builder_that_crashes_is_an_error(
    runtime: TensorRtRtx, convolution: Callable[..., Path]
) -> None:
    crashed = Completed(-signal.SIGSEGV, "", "last words")
    with pytest.raises(MeasurementError, match="was killed by SIGSEGV: last words"):
        runtime.parse(crashed, job(convolution()))
