"""The scripts of `examples/`, run as a reader runs them, on a target that is quick to measure."""

import ast
import copy
import json
import runpy
from collections.abc import Sequence
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
# Each with less data than it has for a reader, where a reader's takes long.
SCRIPTS: dict[str, list[object]] = {
    "own_loop": [],
    "transfer": [],
    "keyword_spotter": ["--sounds", 16, "--epochs", 1],
    "timm_model": ["--photographs", 16, "--epochs", 1],
    "detector": ["--pictures", 32, "--epochs", 1],
    "translator": ["--pairs", 80, "--epochs", 1],
    "two_devices": ["--epochs", 1],
}
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
    elsewhere = {"imagenet_resnet50", "plugin", "pull_request"}
    assert folders == {*SCRIPTS, *elsewhere}


@pytest.mark.parametrize("source", WRITER["scripts"](), ids=lambda path: path.parent.name)
def test_a_notebook_is_in_step_with_its_script(source: Path) -> None:
    path = source.with_suffix(".ipynb")
    assert path.read_text(encoding="utf-8") == WRITER["notebook"](source), "make notebooks"
    ran = ast.unparse(ast.parse("\n".join(code_of(path)[:-1])))
    whole = ast.parse(source.read_text(encoding="utf-8"))
    assert ran == ast.unparse(ast.Module(whole.body[1:-1], []))


def require_result(out: Path, said: str) -> dict[str, Any]:
    result = result_of(out)
    assert result["outcome"] in OUTCOMES
    assert str(result["outcome"]) in said
    assert (out / "model.onnx").is_file()
    return result


@pytest.mark.parametrize("name", ["own_loop", "transfer"])
def test_an_example_compresses(name: str, tmp_path: Path) -> None:
    words = ["--target", target(tmp_path, "quick"), "--out", tmp_path / "out"]
    done = script(EXAMPLES / name / "main.py", *words, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    require_result(tmp_path / "out", done.stdout)


@pytest.mark.examples
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_notebook_runs_in_a_kernel(name: str, tmp_path: Path) -> None:
    """Its last cell twice, as who is not sure whether it ran runs it again."""
    names = ("left", "right") if name == "two_devices" else ("quick",)
    option = "--targets" if name == "two_devices" else "--target"
    targets = [target(tmp_path, each) for each in names]
    words = [option, *targets, "--out", tmp_path / "out", *SCRIPTS[name]]
    first, again = executed(EXAMPLES / name / "main.ipynb", words, times=2)
    result = require_result(tmp_path / "out", first)
    assert again == first, "a finished run says what it said"
    assert [device["target"] for device in result["devices"]] == list(names)


@pytest.mark.examples
def test_the_notebook_of_two_models_writes_them(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("old", "new")]
    executed(EXAMPLES / "pull_request" / "make_models.ipynb", folders)
    assert all((folder / "model.onnx").is_file() for folder in folders)


def executed(source: Path, words: Sequence[object], times: int = 1) -> list[str]:
    """Run a notebook's cells in a kernel, the last with `words`; what each run of that printed."""
    nbformat, nbclient = map(pytest.importorskip, ("nbformat", "nbclient"))
    notebook = nbformat.read(source, as_version=4)
    last = notebook.cells.pop()
    assert last.source == "main([])"
    last.source = f"main({[str(word) for word in words]})"
    for time in range(times):
        notebook.cells.append(copy.deepcopy(last))
        notebook.cells[-1].id = f"last-{time}"
    place = {"metadata": {"path": str(source.parent)}}
    nbclient.NotebookClient(notebook, timeout=280, resources=place).execute()
    return [spoken(cell) for cell in notebook.cells[-times:]]


def spoken(cell: Any) -> str:
    """What a cell printed, with what it said of the way there left out."""
    return "".join(each.text for each in cell.outputs if each.get("name") == "stdout")


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
