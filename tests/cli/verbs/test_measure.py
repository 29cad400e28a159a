import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import typer
from brief_target import BRIEF
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner

from edgespiral.cli.options import parse_shape
from edgespiral.cli.verbs.measure import measure
from edgespiral.core.errors import EdgeSpiralError, ExitCode, ModelError, UsageError


@pytest.fixture
def target(tmp_path: Path) -> str:
    path = tmp_path / "brief.toml"
    path.write_text(BRIEF)
    return str(path)


@pytest.fixture
def model(tmp_path: Path) -> Callable[..., Path]:
    def make(batch: int | str = 1) -> Path:
        weight = np.ones((8, 4), dtype=np.float32)
        graph = helper.make_graph(
            [helper.make_node("MatMul", ["x", "w"], ["y"])],
            "product",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 8])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, 4])],
            [numpy_helper.from_array(weight, "w")],
        )
        opset = helper.make_opsetid("", 17)
        path = tmp_path / "product.onnx"
        onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=9), path)
        return path

    return make


def run(*arguments: object) -> Any:
    app = typer.Typer()
    app.command()(measure)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def refused(*arguments: object) -> EdgeSpiralError:
    error = run(*arguments).exception
    assert isinstance(error, EdgeSpiralError)
    return error


def test_the_table_compares_with_the_first(model: Callable[..., Path], target: str) -> None:
    path = model()
    result = run(path, path, "--target", target)
    assert result.exit_code == 0
    assert "latency on brief, ms" in result.output
    assert "times as" in result.output
    assert "CPUExecutionProvider" in result.output


@pytest.mark.parametrize(
    ("budget", "code", "verdict"),
    [(1000, ExitCode.OK, "met"), (1e-7, ExitCode.UNREACHABLE, "missed")],
)
def test_the_exit_code_is_the_verdict(
    model: Callable[..., Path], target: str, budget: float, code: int, verdict: str
) -> None:
    result = run(model(), "--target", target, "--latency-ms", budget, "--json")
    assert result.exit_code == code
    [record] = json.loads(result.output)
    assert record["verdict"] == verdict
    assert record["stats"]["count"] == sum(map(len, record["rounds_ms"]))


def test_a_shape_makes_up_for_a_missing_one(model: Callable[..., Path], target: str) -> None:
    path = model("n")
    assert "has no fixed shape: nx8" in str(refused(path, "--target", target))
    assert run(path, "--target", target, "--shape", "x:3x8").exit_code == 0
    assert run(path, "--target", target, "--shape", "3x8").exit_code == 0


def test_bad_input_is_one_line(model: Callable[..., Path], tmp_path: Path, target: str) -> None:
    text = tmp_path / "text.onnx"
    text.write_text("not a model")
    cases = [
        (refused(tmp_path / "nothing.onnx"), ModelError, "no such file"),
        (refused(tmp_path), ModelError, "no model.onnx in this folder"),
        (refused(text, "--target", target), ModelError, "is not an ONNX model"),
        (refused(model(), "--target", "host-cup"), UsageError, "did you mean host-cpu"),
        (refused(model(), "--latency-ms", "0"), UsageError, "must be a positive number"),
        (refused(model(), "--latency-ms", "nan"), UsageError, "must be a positive number"),
    ]
    for error, kind, words in cases:
        assert isinstance(error, kind)
        assert words in str(error)
        assert "\n" not in str(error)


def test_shapes_are_read_with_and_without_a_name() -> None:
    assert parse_shape("1x3x224x224") == ("", (1, 3, 224, 224))
    assert parse_shape("in:0:2,5") == ("in:0", (2, 5))
    for bad in ("", "x:", "1x0", "1x-1", "1x?", "axb", "9" * 5000):
        with pytest.raises(UsageError, match="--shape: not a shape"):
            parse_shape(bad)


def test_several_targets_are_measured_each_with_its_own_budget(
    model: Callable[..., Path], target: str, tmp_path: Path
) -> None:
    other = tmp_path / "other.toml"
    other.write_text(BRIEF.replace('"brief"', '"other"'))
    asked = ("--target", target, "--target", other, "--latency-ms", f"{target}=1000")
    result = run(model(), *asked, "--json")
    assert result.exit_code == ExitCode.OK
    first, second = json.loads(result.output)
    assert (first["target"], first["verdict"], second["target"]) == ("brief", "met", "other")
    assert "verdict" not in second
    missed = run(model(), *asked, "--latency-ms", f"{other}=1e-7")
    assert missed.exit_code == ExitCode.UNREACHABLE
    assert "latency on brief, ms" in missed.output
    assert "latency on other, ms" in missed.output
    error = refused(model(), "--target", target, "--latency-ms", "else=1")
    assert str(error).startswith("--latency-ms: else is not measured on; the targets are: ")


@pytest.fixture(scope="module")
def sums(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network for digits, whose logits are sums of pixels."""
    weight = np.random.default_rng(0).normal(size=(64, 10)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["input"], ["flat"]),
            helper.make_node("MatMul", ["flat", "w"], ["logits"]),
        ],
        "sums",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 1, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 10])],
        [numpy_helper.from_array(weight, "w")],
    )
    path = tmp_path_factory.mktemp("sums") / "model.onnx"
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=9), path)
    return path


PIPELINE = ("--timed", "pipeline", "--data", "digits")


def test_a_pipeline_has_its_stages_and_the_whole(sums: Path, target: str) -> None:
    result = run(sums, "--target", target, *PIPELINE)
    assert result.exit_code == 0
    stages = [line.split()[0] for line in result.output.splitlines() if line.strip()][-5:]
    assert stages == ["stage", "preprocess", "network", "postprocess", "whole"]
    [row] = json.loads(run(sums, "--target", target, *PIPELINE, "--json").output)
    figures = [stage["stats"]["p50_ms"] for stage in row["stages"]["each"]]
    assert row["whole"]["p50_ms"] > max(*figures, row["stats"]["p50_ms"])


def test_a_budget_may_be_for_the_whole(sums: Path, target: str) -> None:
    ample = run(sums, "--target", target, *PIPELINE, "--latency-ms", 1000)
    assert (ample.exit_code, "met" in ample.output) == (0, True)
    # The network alone could be within it, and is no more asked for than the rest.
    short = run(sums, "--target", target, *PIPELINE, "--latency-ms", 0.0001)
    assert (short.exit_code, "missed" in short.output) == (ExitCode.UNREACHABLE, True)


def test_a_stage_that_is_not_known_is_said_and_no_budget_is_for_the_whole(
    sums: Path, target: str, tmp_path: Path
) -> None:
    task = tmp_path / "mine.py"
    task.write_text(
        "from edgespiral.tasks.classification import Classification\n"
        "class Mine(Classification):\n"
        "    def postprocessing(self):\n"
        "        return None\n"
    )
    words = (sums, "--target", target, *PIPELINE, "--task", f"{task}:Mine")
    told = run(*words)
    assert told.exit_code == 0
    assert "the task says nothing of how outputs" in " ".join(told.output.split())
    error = refused(*words, "--latency-ms", 1)
    assert "postprocess could not be measured there" in str(error)
    assert error.exit_code == ExitCode.MEASUREMENT


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--timed", "pipeline"), "a pipeline begins with data"),
        (("--task", "regression"), "a network alone is timed whatever it is for"),
        ((*PIPELINE, "--runtime", "all"), "a race is between networks"),
    ],
)
def test_half_of_a_pipeline_is_refused(
    sums: Path, target: str, words: tuple[str, ...], problem: str
) -> None:
    error = refused(sums, "--target", target, *words)
    assert problem in str(error)
    assert error.exit_code == ExitCode.USAGE
