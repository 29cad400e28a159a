"""The scripts of `examples/`, run as a reader runs them, on a target that is quick to measure."""

import ast
import json
import runpy
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from edgespiral.cli.app import app
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
OUTCOMES = {"met", "unreachable", "score-floor"}
# Each with less data than it has for a reader.
SCRIPTS = {
    "own_loop": [],
    "transfer": [],
    "keyword_spotter": ["--sounds", "16", "--epochs", "1"],
    "timm_model": ["--photographs", "16", "--epochs", "1"],
    "detector": ["--pictures", "32", "--epochs", "1"],
    "translator": ["--pairs", "80", "--epochs", "1"],
}
# Run as their notebooks, the others as their scripts: both are of the same cells.
IN_NOTEBOOKS = ("keyword_spotter", "translator")
WRITER = runpy.run_path(str(EXAMPLES / "write_notebooks.py"))


def run(script: Path, words: list[str | Path], patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Run a script as `python SCRIPT WORDS` does, in this process, which has PyTorch loaded."""
    patch.chdir(folder)
    patch.setattr("sys.argv", [str(script), *map(str, words)])
    runpy.run_path(str(script), run_name="__main__")


def run_notebook(path: Path, words: list[str | Path], patch: pytest.MonkeyPatch) -> None:
    """Run a notebook's cells one after the other, the last of which calls `main` with `words`."""
    *cells, call = code_of(path)
    assert call == "main([])"
    notebook = ModuleType("notebook")
    patch.setitem(sys.modules, "notebook", notebook)
    for cell in [*cells, f"main({list(map(str, words))!r})"]:
        exec(compile(cell, str(path), "exec"), vars(notebook))


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
    assert folders - set(SCRIPTS) == {"imagenet_resnet50", "plugin", "pull_request", "two_devices"}


@pytest.mark.parametrize("script", WRITER["scripts"](), ids=lambda path: path.parent.name)
def test_a_notebook_is_in_step_with_its_script(script: Path) -> None:
    path = script.with_suffix(".ipynb")
    assert path.read_text(encoding="utf-8") == WRITER["notebook"](script), "make notebooks"
    ran = ast.unparse(ast.parse("\n".join(code_of(path)[:-1])))
    whole = ast.parse(script.read_text(encoding="utf-8"))
    assert ran == ast.unparse(ast.Module(whole.body[1:-1], []))


@pytest.mark.parametrize("name", SCRIPTS)
def test_an_example_compresses(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    quick, out = target(tmp_path, "quick"), tmp_path / "out"
    words = ["--target", quick, "--out", out, *SCRIPTS[name]]
    if name in IN_NOTEBOOKS:
        monkeypatch.chdir(tmp_path)
        run_notebook(EXAMPLES / name / "main.ipynb", words, monkeypatch)
    else:
        run(EXAMPLES / name / "main.py", words, monkeypatch, tmp_path)
    result = result_of(out)
    assert str(result["outcome"]) in capsys.readouterr().out
    assert result["outcome"] in OUTCOMES
    # A translator is two files.
    assert list(out.glob("*.onnx"))


def test_one_network_for_two_devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    targets, out = [target(tmp_path, name) for name in ("left", "right")], tmp_path / "out"
    words = ["--targets", *targets, "--epochs", "1", "--out", out]
    run(EXAMPLES / "two_devices" / "main.py", words, monkeypatch, tmp_path)
    result = result_of(out)
    assert result["outcome"] in OUTCOMES
    assert [device["target"] for device in result["devices"]] == ["left", "right"]


def test_a_gate_tells_a_wider_model_from_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = EXAMPLES / "pull_request"
    run(folder / "make_models.py", ["old", "new"], monkeypatch, tmp_path)
    quick = target(tmp_path, "quick")
    suite = (folder / "edgespiral-bench.toml").read_text(encoding="utf-8")
    assert 'target = "host-cpu"' in suite
    suite = suite.replace("host-cpu", str(quick))
    (tmp_path / "new" / "edgespiral-bench.toml").write_text(suite, encoding="utf-8")
    with pytest.raises(SystemExit) as ended:
        app(["bench", "run", "new/edgespiral-bench.toml", "--against", "old"])
    assert ended.value.code == GateCode.REGRESSION
