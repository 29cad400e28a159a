from __future__ import annotations

import os

import pytest
from example_run import run_records, write_ended

from edgespiral.core.errors import ExitCode, RunFolderError
from edgespiral.core.listener import Silent
from edgespiral.core.system.lock import locked
from edgespiral.spiral.plan import Plan
from edgespiral.spiral.sweeping.ended import EndedRuns
from edgespiral.spiral.sweeping.plan import SweepRun, load_sweep, runs_of
from edgespiral.spiral.sweeping.result import RECORD, sweep_of, write_sweep
from edgespiral.spiral.sweeping.sweep import Sweeping

PLAN = """schema = 1
[plan]
model = "net.py:net"
data = "digits"
[vary]
speedup = [1.5]
"""


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "sweep.toml"
    file.write_text(PLAN)
    return file


def swept(path, out):
    return Sweeping(path, out, None, Silent(), "edgespiral sweep").here()


def test_a_folder_with_a_sweep_of_another_plan_is_left_alone(path, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    plan = load_sweep(path)
    write_sweep(
        sweep_of(plan, runs_of(plan, "here"), EndedRuns(plan, out), {}, "edgespiral sweep"), out
    )
    before = (out / RECORD).read_bytes()
    path.write_text(PLAN.replace("net.py:net", "other.py:net"))
    with pytest.raises(RunFolderError, match="this folder holds a sweep of another plan"):
        swept(path, out)
    assert (out / RECORD).read_bytes() == before
    (out / RECORD).write_text("{}")
    with pytest.raises(RunFolderError, match=r"sweep.json: is damaged"):
        swept(path, out)


def test_two_sweeps_do_not_share_a_folder(path, tmp_path):
    with (
        locked(tmp_path),
        pytest.raises(RunFolderError, match="another edgespiral is working in this folder"),
    ):
        swept(path, tmp_path)


def test_a_run_of_another_plan_lends_the_sweep_no_figure(path, tmp_path):
    """As where a sweep's record was deleted and its plan changed."""
    (run,) = runs_of(load_sweep(path), str(path))
    write_ended(tmp_path / "out" / run.name, Plan(speedup=4.0))
    with pytest.raises(RunFolderError, match="this folder holds a run of another plan"):
        swept(path, tmp_path / "out")
    assert not (tmp_path / "out" / RECORD).exists()


def test_figures_are_the_journals_and_of_one_teacher(path, tmp_path):
    path.write_text(PLAN.replace("[1.5]", "[1.5, 2.0]"))
    plan, runs = load_sweep(path), runs_of(load_sweep(path), str(path))
    for run, teacher in zip(runs, "ab", strict=True):
        write_ended(tmp_path / "out" / run.name, run.plan, teacher_sha256=teacher)
        (tmp_path / "out" / run.name / "result.json").write_text("{}")
    with pytest.raises(RunFolderError, match="another teacher than those before it"):
        swept(path, tmp_path / "out")
    of_two = plan.model_copy(update={"vary": {**plan.vary, "weights": ["a", "b"]}})
    sweep = sweep_of(of_two, runs, EndedRuns(of_two, tmp_path / "out"), {}, "edgespiral sweep")
    assert [run.test_score for run in sweep.runs] == [89.5, 89.5]


def test_a_run_that_ended_well_and_left_nothing_has_failed(path, tmp_path):
    """As on a node that does not share the folder, or where another command took its place."""

    class Runner:
        def run(self, runs):
            yield from ((run, None) for run in runs)

    sweep = Sweeping(path, tmp_path / "out", None, Silent(), "edgespiral sweep")._swept(Runner())
    (run,) = sweep.runs
    assert run.exit_code == ExitCode.RUN_FOLDER
    assert "it ended without an error, and left no outcome in" in run.problem
    assert run.outcome is None


def test_scores_of_different_metrics_are_not_compared(path, tmp_path):
    path.write_text(PLAN.replace("[1.5]", "[1.5, 2.0]"))
    plan, runs = load_sweep(path), runs_of(load_sweep(path), str(path))
    started, *others = run_records()
    for run, unit in zip(runs, ("%", "points"), strict=True):
        metric = started.metric.model_copy(update={"unit": unit})
        records = [started.model_copy(update={"metric": metric}), *others]
        write_ended(tmp_path / run.name, run.plan, records)
    ended = EndedRuns(plan, tmp_path)
    assert ended.of(runs[0]) is not None
    with pytest.raises(RunFolderError, match="those of runs before it of word error, or have"):
        ended.of(runs[1])


def test_a_folder_with_a_run_of_other_weights_lends_no_figure(path, tmp_path):
    path.write_text(PLAN + 'weights = ["a", "b"]\n')
    plan, (first, second) = load_sweep(path), runs_of(load_sweep(path), str(path))
    started, *others = run_records()
    of_first = started.plan | {"weights": "a"}
    write_ended(tmp_path / first.name, first.plan, [
        started.model_copy(update={"plan": of_first}), *others
    ])  # fmt: skip
    ended = EndedRuns(plan, tmp_path)
    assert ended.of(first) is not None
    (tmp_path / second.name).symlink_to(tmp_path / first.name)
    with pytest.raises(RunFolderError, match="this folder holds a run of another plan"):
        ended.of(second)
    alike = SweepRun(first.name, second.values, second.plan)
    with pytest.raises(RunFolderError, match="this folder holds a run of another plan"):
        ended.of(alike)


def test_a_run_lends_no_figure_that_settled_otherwise_what_the_plan_says_by_now(path, tmp_path):
    """The batch of before suited so few samples; the plan has got the default in so many words."""
    (before,) = runs_of(load_sweep(path), str(path))
    started, *others = run_records()
    begun = {"plan": started.plan | {"batch_size": 32}, "said": ("model", "data", "speedup")}
    write_ended(tmp_path / before.name, before.plan, [
        started.model_copy(update=begun), *others
    ])  # fmt: skip
    assert EndedRuns(load_sweep(path), tmp_path).of(before) is not None
    path.write_text(PLAN.replace("[vary]", "batch_size = 128\n[vary]"))
    (now,) = runs_of(load_sweep(path), str(path))
    with pytest.raises(RunFolderError, match="this folder holds a run of another plan"):
        EndedRuns(load_sweep(path), tmp_path).of(now)


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_what_lies_in_a_log_s_place_is_left_alone(path, tmp_path, kind):
    (run,) = runs_of(load_sweep(path), str(path))
    (tmp_path / "out").mkdir()
    own, log = tmp_path / "own.txt", tmp_path / "out" / f"{run.name}.log"
    own.write_text("somebody's own")
    if kind == "link":
        log.symlink_to(own)
    else:
        os.mkfifo(log)
    for way in ("here", "for_slurm"):
        sweep = Sweeping(path, tmp_path / "out", None, Silent(), "edgespiral sweep")
        with pytest.raises(RunFolderError, match=r"cannot write: .* in its place"):
            getattr(sweep, way)()
    assert own.read_text() == "somebody's own"
