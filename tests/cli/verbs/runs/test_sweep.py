from __future__ import annotations

import json
import os
import subprocess

import pytest

from edgespiral.core.errors import ExitCode
from edgespiral.core.system.lock import locked
from edgespiral.spiral.sweeping.command import OUTCOMES

PLAN = """schema = 1
[plan]
model = "net.py:net"
data = "digits"
target = "quick.toml"
speedup = 1.5
epochs = 1.5
max_drop = 100.0
pruner = "depgraph"
learning_rate = 0.01
[slurm]
options = ["--gres=gpu:0"]
[vary]
seed = [0, 1]
"""


@pytest.fixture
def plan(place):
    path = place / "sweep.toml"
    path.write_text(PLAN)
    return path


def test_runs_share_the_teacher_and_are_done_once(edgespiral, plan):
    # One run by SLURM, for which the number of an array's task is all that counts, one here.
    array = edgespiral("sweep", "sweep.toml", "--out", "out", "--jobs", "2", "--slurm")
    assert array.returncode == 0, array.stderr
    assert "submit it: sbatch out/sweep.sbatch" in array.stdout
    script = plan.parent / "out" / "sweep.sbatch"
    assert "#SBATCH --array=0-1%2\n#SBATCH --output=" in script.read_text()
    assert "#SBATCH --gres=gpu:0" in script.read_text()
    task = {**os.environ, "SLURM_ARRAY_TASK_ID": "0"}
    ended = subprocess.run(["bash", str(script)], env=task, capture_output=True, text=True)
    assert ended.returncode in OUTCOMES
    assert ended.stderr == ""
    wrong = subprocess.run(["bash", str(script)], env={**task, "SLURM_ARRAY_TASK_ID": "2"})
    assert wrong.returncode == 2
    done = edgespiral("sweep", "sweep.toml", "--out", "out", "--jobs", "2")
    assert done.returncode == 0, done.stderr
    assert "runs: 2, ended before: 1" in done.stderr
    record = json.loads((plan.parent / "out" / "sweep.json").read_text())
    assert all(run["problem"] is None for run in record["runs"])
    (point,) = record["points"]
    assert len(point["runs"]) == 2
    assert point["on_front"]
    assert (plan.parent / "out" / "sweep.html").is_file()
    assert len((plan.parent / "out" / "sweep.csv").read_text().splitlines()) == 3
    baselines = []
    for run in record["runs"]:
        lines = (plan.parent / "out" / run["name"] / "journal.jsonl").read_text().splitlines()
        baselines += [e for e in map(json.loads, lines) if e["kind"] == "baseline"]
    assert baselines[0] == baselines[1]
    kept = sorted(
        path.name.partition("-")[0] for path in (plan.parent / "out" / "shared").iterdir()
    )
    assert kept == ["outputs", "scores", "scores", "teacher"]
    again = edgespiral("sweep", "sweep.toml", "--out", "out", "--slurm")
    assert again.returncode == 0
    assert "all runs have ended" in again.stdout


def test_what_is_wrong_is_one_line_with_its_code(edgespiral, plan):
    (plan.parent / "out").mkdir()
    with locked(plan.parent / "out"):
        both = edgespiral("sweep", "sweep.toml", "--out", "out")
    assert both.returncode == ExitCode.RUN_FOLDER
    assert "another edgespiral is working in this folder" in both.stderr
    plan.write_text(PLAN.replace("net.py:net", "none.py:net").replace("[0, 1]", "[0]"))
    failed = edgespiral("sweep", "sweep.toml", "--out", "failed", "--jobs", "2")
    assert failed.returncode == ExitCode.USAGE
    record = json.loads((plan.parent / "failed" / "sweep.json").read_text())
    [run] = record["runs"]
    assert "none.py" in run["problem"]
    plan.write_text(PLAN)
    other = edgespiral("sweep", "sweep.toml", "--out", "failed")
    assert other.returncode == ExitCode.RUN_FOLDER
    assert "holds a sweep of another plan" in other.stderr
    plan.write_text(PLAN.replace("seed", "sead"))
    unknown = edgespiral("sweep", "sweep.toml", "--out", "none")
    assert unknown.returncode == ExitCode.USAGE
    assert not (plan.parent / "none").exists()
