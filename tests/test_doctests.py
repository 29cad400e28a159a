"""Every example in a docstring runs and shows what it says."""

import doctest
import importlib
import inspect
import re
import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

import edgespiral
from edgespiral.measure.tiny import write_convolutions
from edgespiral.models.saved import save_model, trace

PACKAGE = Path(edgespiral.__file__).parent
# Files that examples speak of, and the channels of each.
MODELS = {"model.onnx": (8, 8), "big.onnx": (16, 16, 16), "small.onnx": (8, 8)}


def examples(package: Path) -> list[doctest.DocTest]:
    """All doctests of a package's modules that have any; no other module is imported."""
    found = []
    for path in sorted(package.rglob("*.py")):
        if ">>> " in path.read_text(encoding="utf-8"):
            dotted = ".".join(path.relative_to(package.parent).with_suffix("").parts)
            module = importlib.import_module(dotted)
            found += [test for test in doctest.DocTestFinder().find(module) if test.examples]
    return found


EXAMPLES = examples(PACKAGE)
# Given by functions, whose examples show them.
RETURNED = frozenset(
    (
        *("Batch", "Compressed", "CutFacts", "Exploration", "Explored", "Measurement", "Parity"),
        *("Result", "TargetProfile", "TrainedTeacher", "TrainingProgress"),
    )
)


@pytest.fixture(scope="module")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model's source and weights, as a run's is."""
    folder = tmp_path_factory.mktemp("small")
    save_model(trace(nn.Sequential(nn.Linear(8, 2)).eval(), torch.zeros(2, 8)), folder)
    return folder


@pytest.fixture(autouse=True)
def _folder_with_models(tmp_path: Path, small_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, channels in MODELS.items():
        write_convolutions(Path(name), channels, 8)
    shutil.copytree(small_run, "runs/small")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_the_example_shows_what_happens(example: doctest.DocTest) -> None:
    said: list[str] = []
    result = doctest.DocTestRunner(verbose=False).run(example, out=said.append)
    assert result.attempted > 0
    assert result.failed == 0, "".join(said)


def test_an_example_that_is_wrong_would_be_seen() -> None:
    wrong = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "wrong", None, None)
    assert doctest.DocTestRunner(verbose=False).run(wrong, out=lambda _: None).failed == 1


def public_names() -> list[str]:
    """What users call or make: functions, and classes that are no errors and no records of ours."""
    values = {name: getattr(edgespiral, name) for name in edgespiral.__all__}
    return [
        name
        for name, value in values.items()
        if callable(value)
        and name not in RETURNED
        and (value is edgespiral.EdgeSpiralError or not name.endswith("Error"))
    ]


@pytest.mark.parametrize("name", public_names())
def test_everything_public_has_an_example(name: str) -> None:
    value = getattr(edgespiral, name)
    assert f"{value.__module__}.{value.__qualname__}" in {example.name for example in EXAMPLES}


@pytest.mark.parametrize("name", [name for name in public_names() if name.islower()])
def test_every_public_function_says_what_its_arguments_are(name: str) -> None:
    function = getattr(edgespiral, name)
    documented = inspect.getdoc(function) or ""
    for argument in inspect.signature(function).parameters:
        entry = rf"^    (\w+, )*{argument}(, \w+)*: "
        assert re.search(entry, documented, re.MULTILINE), argument
