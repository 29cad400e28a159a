"""The files of docs/ci and .github: checked by linters, and commands run as a CI runs them."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from brief_target import BRIEF
from ruamel.yaml import YAML

import edgespiral
from edgespiral.core.errors import GateCode
from edgespiral.measure.tiny import write_tiny_model

ROOT = Path(__file__).parents[1]
CI, GITHUB = ROOT / "docs" / "ci", ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
SCHEMAS = {
    CI / "github.yml": "vendor.github-workflows",
    CI / "gitlab.yml": "vendor.gitlab-ci",
    **dict.fromkeys(WORKFLOWS, "vendor.github-workflows"),
    ROOT / "action.yml": "vendor.github-actions",
    GITHUB / "ISSUE_TEMPLATE" / "bug.yml": "vendor.github-issue-forms",
    GITHUB / "ISSUE_TEMPLATE" / "feature.yml": "vendor.github-issue-forms",
    GITHUB / "ISSUE_TEMPLATE" / "config.yml": "vendor.github-issue-config",
}
# A key that each file has, and that its schema asks for.
KEYS = ("runs-on:", "using:", "script:", "body:", "blank_issues_enabled: true")
SCRIPTS = Path(sys.executable).parent
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
    (tmp_path / "brief.toml").write_text(BRIEF)
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


@pytest.mark.parametrize(("path", "schema"), SCHEMAS.items(), ids=lambda value: Path(value).name)
def test_every_file_is_what_its_system_reads(path: Path, schema: str, tmp_path: Path) -> None:
    checked = check(path, schema)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    wrong, text = tmp_path / path.name, path.read_text()
    for key in KEYS:
        text = text.replace(key, f"x{key}")
    wrong.write_text(text)
    assert check(wrong, schema).returncode != 0


def test_every_file_of_the_forge_is_checked() -> None:
    assert set(GITHUB.rglob("*.yml")) <= set(SCHEMAS)


@pytest.mark.parametrize("path", [CI / "github.yml", *WORKFLOWS], ids=lambda path: path.name)
def test_the_workflow_is_safe_by_its_linter(path: Path, tmp_path: Path) -> None:
    checked = call("zizmor", "--offline", "--pedantic", "--no-progress", str(path))
    assert checked.returncode == 0, checked.stdout
    wrong = tmp_path / ".github" / "workflows" / "wrong.yml"
    wrong.parent.mkdir(parents=True)
    text = path.read_text()
    text = text.replace("  pull_request:\n", "  pull_request_target:\n")
    wrong.write_text(text.replace("permissions: {}", "permissions: write-all"))
    assert call("zizmor", "--offline", "--no-progress", str(wrong)).returncode != 0


def scripts(path: Path) -> dict[str, str]:
    """What each step of a workflow runs, by the step's name."""
    jobs = YAML(typ="safe").load(path)["jobs"].values()
    return {one["name"]: one["run"] for job in jobs for one in job["steps"] if "run" in one}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_step_is_a_script_and_makes_what_there_is_to_make(path: Path) -> None:
    for name, script in scripts(path).items():
        assert bash(f"set -n\n{script}", ROOT).returncode == 0, name
        for target in re.findall(r"^\s*make (\S+)", script, re.MULTILINE):
            assert call("make", "--dry-run", target, folder=ROOT).returncode == 0, target
    assert call("make", "--dry-run", "releas", folder=ROOT).returncode != 0


def test_the_suite_runs_on_every_python_that_the_package_allows() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = [line.rpartition(" :: ")[2] for line in project["classifiers"] if ":: 3." in line]
    assert project["requires-python"] == ">=3.11,<3.14"
    tests, release = (YAML(typ="safe").load(path)["jobs"] for path in reversed(WORKFLOWS))
    assert tests["suite"]["strategy"]["matrix"]["python"] == named
    assert release["try"]["strategy"]["matrix"]["python"] == named


def test_only_a_tag_of_the_version_is_released(tmp_path: Path) -> None:
    script = scripts(GITHUB / "workflows" / "release.yml")["The tag is the version"]
    for name in ("pyproject.toml", "CHANGELOG.md"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    tag = f"v{edgespiral.__version__}"
    assert bash(script, tmp_path, GITHUB_REF_NAME=tag).returncode == 0
    assert bash(script, tmp_path, GITHUB_REF_NAME=f"{tag}.1").returncode != 0
    (tmp_path / "CHANGELOG.md").write_text("## [Unreleased]\n")
    assert bash(script, tmp_path, GITHUB_REF_NAME=tag).returncode != 0


def test_the_demo_of_a_release_is_the_demo_of_the_makefile() -> None:
    demo = scripts(GITHUB / "workflows" / "release.yml")["Demo"]
    made = call("make", "--dry-run", "--always-make", "demo", folder=ROOT).stdout
    for verb in ("train", "compress"):
        told = [words(text, verb) for text in (demo, made)]
        assert told[0] == told[1] != []


def words(script: str, verb: str) -> list[str]:
    """What `edgespiral VERB` is told in a script, but for places and going on."""
    joined = script.replace("\\\n", " ")
    [line] = [line for line in joined.splitlines() if f"edgespiral {verb} " in line]
    told = shlex.split(line.partition(f"{verb} ")[2])
    return [word for word in told if not word.startswith("runs/") and word != "--resume"]


def test_hooks_run_what_is_there() -> None:
    hooks = YAML(typ="safe").load(ROOT / ".pre-commit-config.yaml")["repos"]
    installed = (ROOT / "requirements" / "dev.in").read_text().split()
    assert {repository["repo"] for repository in hooks} == {"local"}
    for hook in (hook for repository in hooks for hook in repository["hooks"]):
        program, *arguments = shlex.split(hook["entry"])
        assert Path(program).name in {"python", *installed}
        paths = [word for word in arguments if word.startswith("tests/")]
        assert all((ROOT / path).exists() for path in paths)


@pytest.mark.parametrize(
    ("keys", "code", "told"),
    [
        ("tolerance_percent = 10000", 0, ": met"),
        ("tolerance_percent = 1e-9", 0, ": undecided"),
        ("tolerance_percent = 10000\nbudget_ms = 1e-6", GateCode.REGRESSION, ": missed"),
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


def test_the_action_is_safe_by_its_linter(tmp_path: Path) -> None:
    path = ROOT / "action.yml"
    checked = call("zizmor", "--offline", "--pedantic", "--no-progress", str(path))
    assert checked.returncode == 0, checked.stdout
    wrong = tmp_path / "action.yml"
    wrong.write_text(path.read_text().replace('"$SUITE"', '"${{ inputs.suite }}"'))
    assert call("zizmor", "--offline", "--no-progress", str(wrong)).returncode != 0


@pytest.mark.parametrize(
    ("keys", "more", "code", "verdict"),
    [
        ("budget_ms = 10000", {"AGAINST_REF": ""}, 0, "met"),
        ("budget_ms = 1e-6", {"TARGET": "./brief.toml"}, GateCode.REGRESSION, "missed"),
        ("tolerance_percent = 1e-9", {}, 0, "undecided"),
        ("tolerance_percent = 1e-9", {"UNDECIDED": "fail"}, GateCode.UNDECIDED, "undecided"),
        ("shape = [9, 9]", {}, GateCode.ERROR, "error"),
    ],
)
def test_the_action_judges(
    commit: Commit, keys: str, more: dict[str, str], code: int, verdict: str
) -> None:
    folder = commit(keys)
    steps = YAML(typ="safe").load(ROOT / "action.yml")["runs"]["steps"]
    [gate] = [one for one in steps if one.get("id") == "gate"]
    inputs = {"SUITE": "edgespiral-bench.toml", "TARGET": "", "AGAINST_REF": "HEAD^1"}
    inputs |= {"UNDECIDED": "pass", "OUT": "latency", "GITHUB_OUTPUT": str(folder / "said")}
    assert set(gate["env"]) == set(inputs) - {"GITHUB_OUTPUT"}
    done = bash(gate["run"], folder, **{**inputs, **more})
    assert done.returncode == code, done.stdout + done.stderr
    assert (folder / "said").read_text() == f"verdict={verdict}\n"
    assert {path.name for path in (folder / "latency").iterdir()} >= {"comment.md", "junit.xml"}


def test_every_extra_is_on_the_page_of_installing() -> None:
    facts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    page = (ROOT / "docs" / "installing.md").read_text(encoding="utf-8")
    table = page[page.index("## Extras") : page.index("## In CI")]
    assert {extra for extra in facts["optional-dependencies"] if f"`{extra}`" not in table} == set()
