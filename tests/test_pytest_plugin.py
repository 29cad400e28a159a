import importlib
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from brief_target import BRIEF

from edgespiral.measure.tiny import write_tiny_model

PLUGIN = "edgespiral.pytest_plugin"

Run = Callable[..., CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A pytest of its own with these lines in a test, and these settings."""
    write_tiny_model(tmp_path / "tiny.onnx")
    (tmp_path / "brief.toml").write_text(BRIEF)

    def go(body: str, *words: str, **settings: str) -> CompletedProcess[str]:
        (tmp_path / "test_it.py").write_text(f"def test_it(edgespiral_latency):\n    {body}\n")
        lines = {"edgespiral_target": "./brief.toml", **settings}
        ini = "\n".join(f"{key} = {value}" for key, value in lines.items())
        (tmp_path / "pytest.ini").write_text(f"[pytest]\n{ini}\n")
        command = [sys.executable, "-m", "pytest", "-rs", "-p", PLUGIN, "-p", "no:cacheprovider"]
        return subprocess.run(
            [*command, *words],
            cwd=tmp_path,
            env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            check=False,
        )

    return go


def test_the_entry_point_is_this_plug_in() -> None:
    text = (Path(__file__).parents[1] / "pyproject.toml").read_text()
    [(name, module)] = tomllib.loads(text)["project"]["entry-points"]["pytest11"].items()
    assert name == module == PLUGIN
    assert hasattr(importlib.import_module(module), "edgespiral_latency")


def test_it_loads_nothing_heavy() -> None:
    code = (
        f"import sys, {PLUGIN}; print(*{{'numpy', 'onnx', 'pydantic', 'torch'}} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_a_fast_model_passes(run: Run) -> None:
    done = run('assert edgespiral_latency("tiny.onnx").p50_ms < 1000')
    assert "1 passed" in done.stdout
    assert done.returncode == 0


def test_a_slow_model_fails_with_its_interval(run: Run) -> None:
    done = run('assert edgespiral_latency("tiny.onnx").p50_ms < 1e-6')
    assert done.returncode == 1
    assert re.search(r"assert 0\.\d+ \(0\.\d+ to 0\.\d+\) ms < 1e-06", done.stdout)


OPEN = (
    'latency = edgespiral_latency("tiny.onnx", against="tiny.onnx", time_limit_s=1e-9)\n'
    "    assert latency.change_percent < 0"
)


@pytest.mark.parametrize(("outcome", "code"), [("skip", 0), ("fail", 1)])
def test_an_open_comparison_is_what_the_settings_say(run: Run, outcome: str, code: int) -> None:
    done = run(OPEN, edgespiral_undecided=outcome)
    # One model against itself may seem sure by chance, once in hundreds.
    assert "undecided: median" in done.stdout
    assert done.returncode == code


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('assert edgespiral_latency("none.onnx").p50_ms < 1', "Failed: none.onnx: no such file"),
        ('assert edgespiral_latency("tiny.onnx", target="host-cup").p50_ms < 1', "host-cpu"),
        ('assert edgespiral_latency("tiny.onnx", shape=[9, 9]).p50_ms < 1', "tiny.onnx"),
    ],
)
def test_an_error_is_one_line(run: Run, body: str, message: str) -> None:
    done = run(body, "--tb=short")
    assert done.returncode == 1
    assert message.removeprefix("Failed: ") in done.stdout
    assert "During handling" not in done.stdout
    assert "gate/latency.py" not in done.stdout


def test_the_flag_overrides_the_settings(run: Run) -> None:
    body = 'assert edgespiral_latency("tiny.onnx").target == "other"'
    assert run(body, "--edgespiral-target", "other").returncode == 0


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("edgespiral_undecided", "pass"),
        ("edgespiral_time_limit", "0"),
        ("edgespiral_time_limit", "x"),
    ],
)
def test_wrong_settings_are_refused_before_any_test(run: Run, key: str, value: str) -> None:
    done = run("pass", **{key: value})
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert f"{key} is '{value}'" in done.stderr


def test_tests_without_the_fixture_are_left_alone(run: Run, tmp_path: Path) -> None:
    run("pass")
    (tmp_path / "test_it.py").write_text(
        "from edgespiral.core.errors import ModelError\ndef test_it():\n    raise ModelError('x')\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", PLUGIN], cwd=tmp_path, capture_output=True, text=True
    )
    assert "ModelError: x" in done.stdout
