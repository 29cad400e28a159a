from collections.abc import Callable
from pathlib import Path

import pytest

from edgespiral.core.errors import ModelError, UsageError
from edgespiral.core.text import is_printable
from edgespiral.gate.suite import load_suite, model_file

Make = Callable[..., Path]


def test_what_a_model_leaves_out_is_the_suite_s(chain: Make, suite_file: Make) -> None:
    chain("a.onnx"), chain("b.onnx")
    path = suite_file(
        'path = "a.onnx"',
        'path = "b.onnx"\nname = "second"\ntolerance_percent = 7\nbudget_ms = 8\nshape = [1, 3]',
        own="tolerance_percent = 4\ntail_tolerance_percent = 30",
    )
    suite = load_suite(path)
    first, second = suite.models
    assert (suite.name, suite.target, first.title, second.title) == (
        "suite", "host-cpu", "a", "second",
    )  # fmt: skip
    assert (suite.tolerance(first), suite.tolerance(second)) == (4, 7)
    assert (suite.tail_tolerance(first), first.budget_ms, second.budget_ms) == (30, None, 8)
    assert (first.input_shapes, second.input_shapes) == ({}, {"": (1, 3)})


def test_every_problem_of_a_suite_is_told_at_once(suite_file: Make) -> None:
    path = suite_file(
        'path = "a.onnx"\nbudget_mss = 8',
        'path = "b.onnx"\nbudget_ms = "8"\nshapes = { x = [1, 0] }',
        "tolerance_percent = -1",
        own='targets = "host-cpu"',
    )
    with pytest.raises(UsageError) as caught:
        load_suite(path)
    assert str(caught.value).split("; ") == [
        f"{path}:model.0.budget_mss: unknown key 'budget_mss', did you mean budget_ms?",
        f"{path}:model.1.shapes.x.1: must be >= 1, is 0",
        f"{path}:model.1.budget_ms: must be a valid number, is '8'",
        f"{path}:model.2.path: is missing",
        f"{path}:model.2.tolerance_percent: must be > 0, is -1",
        f"{path}:targets: unknown key 'targets', did you mean target?",
    ]


def test_all_models_that_are_not_there_are_named(chain: Make, suite_file: Make) -> None:
    chain("a.onnx")
    path = suite_file('path = "a.onnx"', 'path = "b.onnx"', 'path = "."')
    with pytest.raises(UsageError) as caught:
        load_suite(path)
    assert f"{path}:model.1.path: no such file: b.onnx" in str(caught.value)
    assert f"{path}:model.2.path: no model.onnx in this folder: ." in str(caught.value)
    assert "model.0" not in str(caught.value)


@pytest.mark.parametrize(
    ("models", "words"),
    [
        ([], "model: is missing"),
        (None, r"suite\.toml: has no \[\[model\]\]"),
        (['path = "a.onnx"', 'path = "x/a.onnx"'], "several models are called a"),
        (['path = "a.onnx"\nshape = [1]\nshapes = { x = [1] }'], "not both"),
    ],
)
def test_a_contradiction_is_refused(
    chain: Make, suite_file: Make, models: list[str] | None, words: str
) -> None:
    chain("a.onnx"), chain("x/a.onnx")
    with pytest.raises(UsageError, match=words):
        load_suite(suite_file(own="model = []") if models is None else suite_file(*models))


def test_a_run_folder_stands_for_its_model(chain: Make, suite_file: Make) -> None:
    model = chain("run/model.onnx")
    path = suite_file('path = "run"')
    case = load_suite(path).models[0]
    assert model_file(path, case) == model
    model.unlink()
    with pytest.raises(ModelError, match=r"no model\.onnx"):
        model_file(path, case)


@pytest.mark.parametrize("key", ["name", "path"])
@pytest.mark.parametrize("text", [r"x\n::error::owned", r"\u001b[2J", r"a\u202eb", r"a\u0000"])
def test_control_characters_in_names_are_refused(suite_file, key, text):
    keys = {"path": "net.onnx", key: text}
    path = suite_file("\n".join(f'{name} = "{value}"' for name, value in keys.items()))
    with pytest.raises(UsageError, match=rf"model\.0\.{key}: .*has control characters") as caught:
        load_suite(path)
    assert is_printable(str(caught.value))
