import json
from pathlib import Path
from typing import Any

import onnx
import pytest
import typer
from brief_target import BRIEF
from onnx import helper
from typer.testing import CliRunner

from edgespiral.cli.verbs.measure import measure
from edgespiral.cli.verbs.targets.group import targets_app
from edgespiral.core.errors import (
    EdgeSpiralError,
    MeasurementError,
    ModelError,
    TargetError,
    UsageError,
)
from edgespiral.measure.racing.race import ROUNDS_A_PASS
from edgespiral.measure.tiny import write_tiny_model


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "brief.toml").write_text(BRIEF)
    write_tiny_model(tmp_path / "tiny.onnx")
    return tmp_path


def measured(*arguments: str) -> Any:
    app = typer.Typer()
    app.command()(measure)
    return CliRunner().invoke(app, ["tiny.onnx", "--target", "brief.toml", *arguments])


def test_a_race_is_a_table_with_a_winner_and_a_picture(place: Path) -> None:
    words = ["race", "brief.toml", "tiny.onnx", "--runtime", "onnxruntime", "--threads", "1"]
    result = CliRunner().invoke(targets_app, [*words, "--threads", "2", "--html", "r/race.html"])
    assert result.exit_code == 0, result.output
    assert "onnxruntime fp32 x1" in result.output
    assert "onnxruntime fp32 x2" in result.output
    assert "fastest: onnxruntime fp32 x" in result.output
    assert "outputs compared on made-up samples" in result.output
    assert (place / "r/race.html").read_text().count("<rect") == 2


def test_every_runtime_has_a_row_in_the_record() -> None:
    result = measured("--runtime", "all", "--json")
    assert result.exit_code == 0, result.output
    [race] = json.loads(result.output)
    assert {row["runtime"] for row in race["rows"]} >= {"onnxruntime", "openvino"}
    assert race["rows"][race["reference"]]["runtime"] == "onnxruntime"
    for row in race["rows"]:
        assert (row["measurement"] is None) == (row["refused"] is not None)
    own = race["rows"][race["reference"]]
    assert own["measurement"]["load_ms"] > 0
    assert own["parity"]["samples"] == 16


def test_one_runtime_takes_the_place_of_the_targets() -> None:
    result = measured("--runtime", "onnxruntime", "--threads", "2", "--json")
    assert result.exit_code == 0, result.output
    [row] = json.loads(result.output)
    assert row["fingerprint"]["threads"] == 2
    assert isinstance(measured("--runtime", "openvin").exception, UsageError)


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("--latency-ms", "1"), "a race has no verdict on a budget"),
        (("--target", "host-cpu"), "a race is on one target"),
        (("--data", "nosuch"), "nosuch"),
    ],
)
def test_what_no_race_can_be_is_refused(words: tuple[str, ...], what: str) -> None:
    error = measured("--runtime", "all", *words).exception
    assert isinstance(error, EdgeSpiralError)
    assert what in str(error)


def raced(*words: str) -> Any:
    return CliRunner().invoke(targets_app, ["race", "brief.toml", *words]).exception


def test_what_is_no_model_is_that_wherever_it_is_named(place: Path) -> None:
    (place / "text.onnx").write_text("a text\n")
    (place / "empty.onnx").touch()
    graph = helper.make_graph([helper.make_node("None", ["x"], ["y"])], "g", [], [])
    onnx.save(helper.make_model(graph), place / "odd.onnx")
    for name, words in (
        ("text.onnx", "is not an ONNX model"),
        ("empty.onnx", "is not an ONNX model"),
        ("odd.onnx", "ONNX Runtime cannot load it"),
    ):
        error = raced(name, "--runtime", "onnxruntime")
        assert isinstance(error, ModelError), error
        assert str(error).startswith(f"{name}: {words}")


def test_more_threads_than_cores_are_refused_before_they_are_timed() -> None:
    error = raced("tiny.onnx", "--runtime", "onnxruntime", "--threads", "9999")
    assert isinstance(error, MeasurementError)
    assert "onnxruntime: 9999 threads would take turns on " in str(error)
    error = measured("--threads", "9999").exception
    assert isinstance(error, TargetError)
    assert str(error).startswith("9999 threads would take turns on ")


def test_fewer_passes_are_fewer_rounds() -> None:
    words = ["race", "brief.toml", "tiny.onnx", "--runtime", "onnxruntime", "--passes", "1"]
    result = CliRunner().invoke(targets_app, [*words, "--json"])
    assert result.exit_code == 0, result.output
    [[row]] = [race["rows"] for race in json.loads(result.output)]
    assert len(row["measurement"]["rounds_ms"]) == ROUNDS_A_PASS
