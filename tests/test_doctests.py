"""Every example in a docstring runs and shows what it says."""

import doctest
import importlib
from pathlib import Path

import pytest

import edgespiral
from edgespiral.measure.tiny import write_convolutions

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


@pytest.fixture(autouse=True)
def _folder_with_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, channels in MODELS.items():
        write_convolutions(Path(name), channels, 8)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_the_example_shows_what_happens(example: doctest.DocTest) -> None:
    said: list[str] = []
    result = doctest.DocTestRunner(verbose=False).run(example, out=said.append)
    assert result.attempted > 0
    assert result.failed == 0, "".join(said)


def test_an_example_that_is_wrong_would_be_seen() -> None:
    wrong = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "wrong", None, None)
    assert doctest.DocTestRunner(verbose=False).run(wrong, out=lambda _: None).failed == 1


@pytest.mark.parametrize("name", ["compress", "train_teacher", "measure_models", "export_model"])
def test_every_function_that_does_work_has_an_example(name: str) -> None:
    assert f"edgespiral.api.{name}" in {example.name for example in EXAMPLES}
