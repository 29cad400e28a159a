"""The scripts of `examples/`, run as a reader runs them, on a target that is quick to measure."""

import ast
import json
import runpy
from pathlib import Path

import pytest
from command import script

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
# Those that a run of the suite has time for; others take a minute of a processor each.
SCRIPTS = ("own_loop", "transfer")
WRITER = runpy.run_path(str(EXAMPLES / "write_notebooks.py"))


def code_of(path: Path) -> list[str]:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def target(folder: Path, name: str) -> Path:
    path = folder / f"{name}.toml"
    path.write_text(TARGET.format(name=name))
    return path


def result_of(folder: Path) -> dict[str, object]:
    return dict(json.loads((folder / "result.json").read_text(encoding="utf-8")))


def test_every_example_is_listed() -> None:
    folders = {path.name for path in EXAMPLES.iterdir() if path.is_dir()}
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert {name for name in folders if f"[{name}]({name}/README.md)" not in page} == set()
    assert set(SCRIPTS) <= folders


@pytest.mark.parametrize("source", WRITER["scripts"](), ids=lambda path: path.parent.name)
def test_a_notebook_is_in_step_with_its_script(source: Path) -> None:
    path = source.with_suffix(".ipynb")
    assert path.read_text(encoding="utf-8") == WRITER["notebook"](source), "make notebooks"
    ran = ast.unparse(ast.parse("\n".join(code_of(path)[:-1])))
    whole = ast.parse(source.read_text(encoding="utf-8"))
    assert ran == ast.unparse(ast.Module(whole.body[1:-1], []))


@pytest.mark.parametrize("name", SCRIPTS)
def test_an_example_compresses(name: str, tmp_path: Path) -> None:
    quick, out = target(tmp_path, "quick"), tmp_path / "out"
    words = ["--target", quick, "--out", out]
    done = script(EXAMPLES / name / "main.py", *words, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    result = result_of(out)
    assert str(result["outcome"]) in done.stdout
    assert result["outcome"] in {"met", "unreachable", "score-floor"}
    assert (out / "model.onnx").is_file()
