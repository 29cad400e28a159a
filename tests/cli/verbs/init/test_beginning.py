"""What `edgespiral init` finds, writes and says, through the command line."""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from devices.board import Board
from typer.testing import CliRunner, Result

from edgespiral.cli.app import app
from edgespiral.core.errors import (
    DataError,
    EdgeSpiralError,
    ModelError,
    RunFolderError,
    TargetError,
    UsageError,
)
from edgespiral.core.factory import call_factory
from edgespiral.data import load
from edgespiral.gate.suite import load_suite
from edgespiral.measure.profile import load_profile
from edgespiral.measure.tiny import write_tiny_model
from edgespiral.spiral.plan import load_plan

Init = Callable[..., Result]
BUDGET = ("--speedup", "1.5")


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_a_plan_is_written_for_what_is_there_and_never_over_another(init: Init, here: Path) -> None:
    done = init("mine.py:net", "--data", "mine.py:data", *BUDGET)
    assert done.exit_code == 0, done.exception
    assert "160 / 160 / 160 samples" in done.output
    assert "can be cut: 94% of the channels" in done.output
    assert "next: edgespiral compress --config plan.toml --dry-run" in done.output
    plan = load_plan(Path("plan.toml"), {})
    assert (plan.model, plan.data, plan.target) == ("mine.py:net", "mine.py:data", "this-machine")
    assert (plan.speedup, plan.task, plan.weights) == (1.5, "classification", None)
    assert load_profile(plan.targets[0]).runtime.kind == "onnxruntime"

    before = files(here)
    again = init("mine.py:net", "--data", "mine.py:data", *BUDGET)
    assert isinstance(again.exception, UsageError)
    both = "targets/this-machine.toml, plan.toml: are there already, and init overwrites nothing"
    assert str(again.exception).startswith(both)
    assert str(again.exception).endswith("; --target this-machine takes its profile")
    named = init("mine.py:net", "--data", "mine.py:data", "--target", "this-machine", *BUDGET)
    assert str(named.exception).startswith("plan.toml: is there already")
    assert files(here) == before


def test_the_next_command_works_and_writes_nothing(init: Init, here: Path) -> None:
    words = ("--data", "mine.py:data", "--target", "host-cpu", "--max-drop", "50", *BUDGET)
    assert init("mine.py:net", *words).exit_code == 0
    before = files(here)
    done = CliRunner().invoke(app, ["compress", "--config", "plan.toml", "--dry-run"])
    assert done.exit_code == 0, done.exception
    for said in ("timed: on host-cpu", "trained: 4 epochs of 160 samples", "an estimate"):
        assert said in done.output
    assert files(here) == before


def test_photographs_get_a_model_of_their_shapes(init: Init, photographs: Path) -> None:
    done = init("--data", "photos", *BUDGET)
    assert done.exit_code == 0, done.exception
    assert "40 x 30 pixels and are scaled up to 224 x 224" in done.output
    plan = load_plan(Path("plan.toml"), {})
    assert (plan.model, plan.data, str(plan.weights)) == (
        "model.py:make",
        "folder:photos",
        "weights.pt",
    )
    network = call_factory(plan.model)
    assert isinstance(network, torch.nn.Module)
    assert network(torch.zeros(2, *load(plan.data).input_shape)).shape == (2, 3)
    # Without its weights nothing runs by mistake.
    asked = CliRunner().invoke(app, ["compress", "--config", "plan.toml", "--dry-run"])
    assert isinstance(asked.exception, ModelError)
    assert "weights.pt" in str(asked.exception)


def test_a_model_gets_data_of_its_shapes(init: Init) -> None:
    done = init("mine.py:net", "--input-shape", "1x8x8", *BUDGET)
    assert done.exit_code == 0, done.exception
    assert "put your samples into data.py" in done.output
    splits = load(load_plan(Path("plan.toml"), {}).data)
    assert (splits.input_shape, len(splits.class_names)) == ((1, 8, 8), 4)


def test_a_file_of_weights_gets_a_model_to_fill_in(init: Init, photographs: Path) -> None:
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.Flatten(), torch.nn.Linear(8, 3))
    torch.save(net.state_dict(), "trained.pt")
    assert init("trained.pt", "--data", "photos", *BUDGET).exit_code == 0
    assert "from 0.weight (8, 3, 3, 3) to 2.weight (3, 8)" in Path("model.py").read_text()
    assert str(load_plan(Path("plan.toml"), {}).weights) == "trained.pt"


def test_a_name_is_to_be_trained_first(init: Init) -> None:
    done = init("resnet8", "--data", "digits", "--target", "host-cpu", *BUDGET)
    assert done.exit_code == 0, done.exception
    assert "train it: edgespiral train resnet8 --data digits --out runs/teacher" in done.output
    plan = load_plan(Path("plan.toml"), {})
    assert str(plan.weights) == "runs/teacher/weights.safetensors"


def test_a_device_has_the_python_that_is_named(
    init: Init, here: Path, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ssh", "scp"):
        wrapper = here / "bin" / name
        wrapper.parent.mkdir(exist_ok=True)
        wrapper.write_text(f'#!/bin/sh\nexec {shutil.which(name)} -F {board.config} "$@"\n')
        wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{here / 'bin'}:{os.environ['PATH']}")
    words = ("mine.py:net", "--data", "mine.py:data", "--python", sys.executable, *BUDGET)
    refused = init(*words).exception
    assert str(refused) == "--python: is the Python of no device; give --ssh HOST too"
    done = init(*words, "--ssh", "board")
    assert done.exit_code == 0, done.exception
    assert load_plan(Path("plan.toml"), {}).target == "board"
    assert f'python = "{sys.executable}"' in Path("targets/board.toml").read_text()


def test_a_gate_without_a_budget_says_that_it_has_no_limit(init: Init) -> None:
    write_tiny_model(Path("tiny.onnx"))
    done = init("tiny.onnx")
    assert done.exit_code == 0, done.exception
    assert "tiny.onnx: to be measured; it cannot be cut" in done.output
    assert "give the model a budget_ms in edgespiral-bench.toml" in done.output
    assert load_suite(Path("edgespiral-bench.toml")).models[0].budget_ms is None


def test_an_onnx_file_gets_a_gate(init: Init) -> None:
    write_tiny_model(Path("tiny.onnx"))
    done = init("tiny.onnx", "--latency-ms", "5")
    assert done.exit_code == 0, done.exception
    assert "next: edgespiral bench" in done.output
    suite = load_suite(Path("edgespiral-bench.toml"))
    assert [(case.path, case.budget_ms) for case in suite.models] == [("tiny.onnx", 5.0)]
    assert load_profile(suite.target).name == "this-machine"
    assert "no limit yet" not in done.output

    Path("notes.onnx").write_text("no model")
    refused = init("notes.onnx", "--latency-ms", "5").exception
    assert str(refused).startswith("notes.onnx: is not an ONNX model")
    refused = init("tiny.onnx", "--speedup", "2").exception
    assert str(refused).startswith("--speedup: tiny.onnx can be run, but neither trained nor cut")


@pytest.mark.parametrize(
    ("words", "kind", "said"),
    [
        ([*BUDGET], UsageError, "--data: what inputs and classes there are is not said"),
        (["mine.py:net", "--data", "mine.py:data"], UsageError, "a goal is needed"),
        (["mine.py:none", "--data", "mine.py:data"], UsageError, "no function 'none'"),
        (["mine.py:net", "--data", "digits", *BUDGET], None, None),
        (["resnet8", "--data", "no/where", *BUDGET], DataError, "no/where: no such file or folder"),
        (["resnet8", *BUDGET], UsageError, "--input-shape 3x64x64 and --classes 10"),
        (["resnet99", "--data", "digits", *BUDGET], UsageError, "did you mean resnet"),
        (
            ["mine.py:net", "--input-shape", "3x8x8", *BUDGET],
            ModelError,
            "fails on inputs of 3x8x8",
        ),
        (["--local", "--adb", *BUDGET], UsageError, "reached in one way"),
        (["--local", "--target", "host-cpu", *BUDGET], UsageError, "beside a new device"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_written(
    init: Init, here: Path, words: list[str], kind: type[EdgeSpiralError] | None, said: str | None
) -> None:
    before = files(here)
    error = init(*words).exception
    if kind is None:  # digits have ten classes, and the network four
        kind, said = ModelError, "10"
    assert isinstance(error, kind), error
    assert said is not None
    assert said in str(error)
    assert files(here) == before


def test_all_is_written_or_nothing(init: Init, here: Path) -> None:
    (here / "targets").write_text("a file where a folder is to be")
    before = files(here)
    error = init("mine.py:net", "--input-shape", "1x8x8", *BUDGET).exception
    assert isinstance(error, RunFolderError)
    assert files(here) == before


def test_a_device_that_is_not_there_leaves_nothing_behind(init: Init, here: Path) -> None:
    before = files(here)
    words = ("--data", "mine.py:data", "--ssh", "nobody.invalid", *BUDGET)
    error = init("mine.py:net", *words).exception
    assert isinstance(error, TargetError)
    assert files(here) == before


TARGETS = """
import torch
from torch import nn
from torch.utils.data import TensorDataset


def data(targets):
    part = TensorDataset(torch.randn(160, 1, 8, 8), targets)
    return {"train": part, "validation": part, "test": part, "classes": ["a", "b"]}


def masks():
    return data(torch.arange(160 * 64).reshape(160, 8, 8) % 2)


def numbers():
    return {k: v for k, v in data(torch.randn(160, 1)).items() if k != "classes"}


def pixels():
    return nn.Sequential(nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 2, 1))


def number():
    return nn.Sequential(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32 * 36, 1))
"""


@pytest.mark.parametrize(
    ("model", "data", "task"),
    [("pixels", "masks", "segmentation"), ("number", "numbers", "regression")],
)
def test_the_task_follows_from_the_targets(
    init: Init, here: Path, model: str, data: str, task: str
) -> None:
    (here / "others.py").write_text(TARGETS)
    words = (f"others.py:{model}", "--data", f"others.py:{data}", "--target", "host-cpu", *BUDGET)
    if task == "regression":  # what may be lost of a unit of its own is not guessed
        error = init(*words).exception
        assert str(error).startswith("--max-drop: how much worse")
        words += ("--max-drop", "0.5")
    done = init(*words)
    assert done.exit_code == 0, done.exception
    assert load_plan(Path("plan.toml"), {}).task == task
