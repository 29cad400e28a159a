"""The files of docs/ci: checked by linters, and their commands run as a CI would run them."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from ruamel.yaml import YAML

from edgespiral.core.errors import GateCode
from edgespiral.measure.tiny import write_tiny_model

CI = Path(__file__).parents[1] / "docs" / "ci"
SCHEMAS = {"github.yml": "vendor.github-workflows", "gitlab.yml": "vendor.gitlab-ci"}
SCRIPTS = Path(sys.executable).parent
TARGET = """
schema = 1
name = "brief"
[runtime]
kind = "onnxruntime"
[transport]
kind = "local"
[measure]
warmup_ms = 2
rounds = 5
round_ms = 0.5
min_samples = 5
"""
# One reading of the real service that nobody has here: it logs how it was called.
FAKE_GH = """#!/bin/sh
echo "$@" >> calls
case "$*" in *--paginate*) printf '%s' "$FOUND" ;; esac
"""

Commit = Callable[[str], Path]


def call(*words: str, folder: Path | None = None, **more: str) -> CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}", **more}
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)


def check(path: Path, schema: str) -> CompletedProcess[str]:
    return call("check-jsonschema", "--builtin-schema", schema, str(path))


def read(name: str) -> Any:
    return YAML(typ="safe").load(CI / name)


def step(job: str, name: str) -> str:
    [found] = [one for one in read("github.yml")["jobs"][job]["steps"] if one.get("name") == name]
    return str(found["run"])


def bash(script: str, folder: Path, **more: str) -> CompletedProcess[str]:
    # As GitHub and GitLab start it.
    environment = {"GITHUB_ACTIONS": "", "COLUMNS": "200", **more}
    return call("bash", "-e", "-c", script, folder=folder, **environment)


@pytest.fixture
def commit(tmp_path: Path) -> Commit:
    """A repository whose second commit has a suite of one tiny model with these keys."""
    (tmp_path / "brief.toml").write_text(TARGET)
    write_tiny_model(tmp_path / "tiny.onnx")

    def git(*words: str) -> None:
        identity = ("-c", "user.name=T", "-c", "user.email=t@example.org")
        subprocess.run(["git", *identity, *words], cwd=tmp_path, check=True, capture_output=True)

    def make(keys: str) -> Path:
        git("init", "-q")
        git("add", ".")
        git("commit", "-qm", "base")
        (tmp_path / "edgespiral-bench.toml").write_text(
            'schema = 1\ntarget = "./brief.toml"\ntime_limit_s = 0.1\n'
            f'[[model]]\npath = "tiny.onnx"\n{keys}\n'
        )
        git("add", ".")
        git("commit", "-qm", "change")
        return tmp_path

    return make


@pytest.mark.parametrize(("name", "schema"), SCHEMAS.items())
def test_every_file_is_what_its_system_reads(name: str, schema: str, tmp_path: Path) -> None:
    checked = check(CI / name, schema)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    wrong = tmp_path / name
    text = (CI / name).read_text()
    wrong.write_text(text.replace("runs-on:", "run-on:").replace("script:", "scripts:"))
    assert check(wrong, schema).returncode != 0


def test_the_workflow_is_safe_by_its_linter(tmp_path: Path) -> None:
    checked = call("zizmor", "--offline", "--pedantic", "--no-progress", str(CI / "github.yml"))
    assert checked.returncode == 0, checked.stdout
    wrong = tmp_path / ".github" / "workflows" / "wrong.yml"
    wrong.parent.mkdir(parents=True)
    text = (CI / "github.yml").read_text()
    wrong.write_text(text.replace("  pull_request:\n", "  pull_request_target:\n"))
    assert call("zizmor", "--offline", "--no-progress", str(wrong)).returncode != 0


@pytest.mark.parametrize(
    ("keys", "code", "told"),
    [
        ("tolerance_percent = 10000", 0, ": pass"),
        ("tolerance_percent = 1e-9", 0, ": undecided"),
        ("tolerance_percent = 10000\nbudget_ms = 1e-6", GateCode.REGRESSION, ": regressed"),
        ("shape = [9, 9]", GateCode.ERROR, ": error"),
    ],
)
def test_the_workflow_compares(commit: Commit, keys: str, code: int, told: str) -> None:
    folder = commit(keys)
    done = bash(step("compare", "Compare"), folder)
    assert (done.returncode, told in done.stdout) == (code, True), done.stdout + done.stderr
    assert {path.name for path in (folder / "latency").iterdir()} == {
        "comment.md",
        "junit.xml",
        "result.json",
    }


def test_the_workflow_keeps_a_history(commit: Commit) -> None:
    folder = commit("")
    for sha in ("1" * 40, "2" * 40):
        done = bash(step("history", "Measure"), folder, GITHUB_SHA=sha)
        assert done.returncode == 0, done.stderr
    assert len(list((folder / "results").iterdir())) == 2
    assert "All 2 results" in (folder / "page" / "index.html").read_text()


@pytest.mark.parametrize(
    ("found", "last"),
    [
        ("", "api --method POST repos/o/r/issues/7/comments --field body=@comment.md"),
        ("5\n6\n", "api --method PATCH repos/o/r/issues/comments/6 --field body=@comment.md"),
    ],
)
def test_the_workflow_writes_one_comment(tmp_path: Path, found: str, last: str) -> None:
    (tmp_path / "gh").write_text(FAKE_GH)
    (tmp_path / "gh").chmod(0o755)
    done = bash(
        step("comment", "Comment, over the comment of last time"),
        tmp_path,
        PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        COMMENTS="repos/o/r/issues/7/comments",
        COMMENT="repos/o/r/issues/comments",
        FOUND=found,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "calls").read_text().splitlines()[-1] == last


def test_the_job_writes_what_gitlab_reads(commit: Commit) -> None:
    job = read("gitlab.yml")["latency"]
    folder = commit("tolerance_percent = 10000\nbudget_ms = 1e-6")
    base = call("git", "rev-parse", "HEAD^1", folder=folder).stdout.strip()
    done = bash("\n".join(job["script"]), folder, CI_MERGE_REQUEST_DIFF_BASE_SHA=base)
    assert done.returncode == GateCode.REGRESSION, done.stderr
    reports = job["artifacts"]["reports"]
    assert set(reports) == {"junit", "codequality", "metrics"}
    assert all((folder / path).stat().st_size for path in reports.values())
    assert job["allow_failure"]["exit_codes"] == GateCode.UNDECIDED
