"""The scripts of `examples/`, run as a reader runs them, on a target that is quick to measure."""

import ast
import json
import runpy
from pathlib import Path
from typing import Any

import pytest
from command import command, script

from edgespiral.core.errors import GateCode

EXAMPLES = Path(__file__).parents[1] / "examples"
TARGET = """
schema = 1
name = "{name}"
[runtime]
kind = "onnxruntime"
[transport]
kind = "local"
[measure]
warmup_ms = 2
rounds = 8
round_ms = 2
min_samples = 10
[device]
channel_multiple = 8
"""
# Each with less data than it has for a reader.
SCRIPTS: dict[str, list[object]] = {
    "own_loop": [],
    "transfer": [],
    "keyword_spotter": ["--sounds", 16, "--epochs", 1],
    "timm_model": ["--photographs", 16, "--epochs", 1],
    "detector": ["--pictures", 32, "--epochs", 1],
    "translator": ["--pairs", 80, "--epochs", 1],
}
# Those that a run of the suite has time for; others take half a minute of a processor each.
IN_SUITE = ("own_loop", "transfer")
# Run as their notebooks, the others as their scripts: both are of the same cells.
IN_NOTEBOOKS = ("keyword_spotter", "translator")
OUTCOMES = {"met", "unreachable", "score-floor"}
WRITER = runpy.run_path(str(EXAMPLES / "write_notebooks.py"))


def code_of(path: Path) -> list[str]:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def target(folder: Path, name: str) -> Path:
    path = folder / f"{name}.toml"
    path.write_text(TARGET.format(name=name))
    return path


def result_of(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "result.json").read_text(encoding="utf-8")))


def test_every_example_is_listed() -> None:
    folders = {path.name for path in EXAMPLES.iterdir() if path.is_dir()}
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert {name for name in folders if f"[{name}]({name}/README.md)" not in page} == set()
    elsewhere = {"imagenet_resnet50", "plugin", "pull_request", "two_devices"}
    assert folders == {*SCRIPTS, *elsewhere}


@pytest.mark.parametrize("source", WRITER["scripts"](), ids=lambda path: path.parent.name)
def test_a_notebook_is_in_step_with_its_script(source: Path) -> None:
    path = source.with_suffix(".ipynb")
    assert path.read_text(encoding="utf-8") == WRITER["notebook"](source), "make notebooks"
    ran = ast.unparse(ast.parse("\n".join(code_of(path)[:-1])))
    whole = ast.parse(source.read_text(encoding="utf-8"))
    assert ran == ast.unparse(ast.Module(whole.body[1:-1], []))


def program(name: str, words: list[object], folder: Path) -> tuple[Path, list[object]]:
    """What is run of an example, and the words for it; those of a notebook are in its last cell."""
    if name not in IN_NOTEBOOKS:
        return EXAMPLES / name / "main.py", words
    *cells, call = code_of(EXAMPLES / name / "main.ipynb")
    assert call == "main([])"
    path = folder / "notebook.py"
    path.write_text("\n".join([*cells, f"main({[str(word) for word in words]})"]))
    return path, []


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in IN_SUITE else pytest.mark.examples)
        for name in SCRIPTS
    ],
)
def test_an_example_compresses(name: str, tmp_path: Path) -> None:
    quick, out = target(tmp_path, "quick"), tmp_path / "out"
    asked = ["--target", quick, "--out", out, *SCRIPTS[name]]
    path, words = program(name, asked, tmp_path)
    done = script(path, *words, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    result = result_of(out)
    assert str(result["outcome"]) in done.stdout
    assert result["outcome"] in OUTCOMES
    assert (out / "model.onnx").is_file()


@pytest.mark.examples
def test_one_network_for_two_devices(tmp_path: Path) -> None:
    targets, out = [target(tmp_path, name) for name in ("left", "right")], tmp_path / "out"
    words = ["--targets", *targets, "--epochs", 1, "--out", out]
    done = script(EXAMPLES / "two_devices" / "main.py", *words, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    result = result_of(out)
    assert result["outcome"] in OUTCOMES
    assert [device["target"] for device in result["devices"]] == ["left", "right"]


def test_a_gate_tells_a_wider_model_from_the_one_before(tmp_path: Path) -> None:
    example = EXAMPLES / "pull_request"
    done = script(example / "make_models.py", "old", "new", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    suite = (example / "edgespiral-bench.toml").read_text(encoding="utf-8")
    assert 'target = "host-cpu"' in suite
    suite = suite.replace("host-cpu", str(target(tmp_path, "quick")))
    (tmp_path / "new" / "edgespiral-bench.toml").write_text(suite, encoding="utf-8")
    done = command("bench", "new/edgespiral-bench.toml", "--against", "old", folder=tmp_path)
    assert done.returncode == GateCode.REGRESSION, done.stderr
