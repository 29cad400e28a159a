from __future__ import annotations

import json
import math

import pytest
from example_run import devices, facts, run_records, write_ended

from edgespiral.core.errors import RunFolderError, UsageError
from edgespiral.core.listener import Silent
from edgespiral.core.records.events import Outcome
from edgespiral.spiral.sweeping.ended import EndedRuns
from edgespiral.spiral.sweeping.plan import SweepRun, load_sweep
from edgespiral.spiral.sweeping.search import ASKED, Search
from edgespiral.spiral.sweeping.sweep import Sweeping

FIELDS = """
[search]
trials = 6
[search.fields]
learning_rate = { low = 0.001, high = 1.0, log = true }
optimizer = ["sgd", "adamw"]
"""


def ended(run, out):
    """A run whose student is the better the nearer its rate is to 0.1; AdamW misses the budget."""
    score = 90 - abs(math.log10(run.values["learning_rate"]) + 1)
    is_met = run.values["optimizer"] == "sgd"
    records = run_records(score, Outcome.MET if is_met else Outcome.UNREACHABLE)
    write_ended(out / run.name, run.plan, records)


def search_of(path, out, at_once):
    plan = load_sweep(path)
    return Search(plan, str(path), EndedRuns(plan, out), at_once)


def searched(path, out, *, at_once=2, stops_after=None):
    """The rounds of a search, each ended before the next is asked for."""
    rounds = []
    for runs in search_of(path, out, at_once).rounds():
        rounds.append(runs)
        if len(rounds) == stops_after:
            break
        for run in runs:
            if not (out / run.name).exists():
                ended(run, out)
    return rounds


def test_trials_follow_from_scores_and_go_on_where_they_stopped(sweep_file, tmp_path):
    path, out = sweep_file(FIELDS), tmp_path / "out"
    out.mkdir()
    rounds = searched(path, out)
    assert [len(runs) for runs in rounds] == [2, 2, 2]
    runs = [run for each in rounds for run in each]
    assert all(0.001 <= run.plan.learning_rate <= 1 for run in runs)
    assert all(run.plan.optimizer == run.values["optimizer"] for run in runs)
    search = search_of(path, out, 2)
    (best,) = search.best(runs)
    rates = {run.name: run.values["learning_rate"] for run in runs
             if run.values["optimizer"] == "sgd"}  # fmt: skip
    assert best == min(rates, key=lambda name: abs(math.log10(rates[name]) + 1))
    # Stopped while its second round runs, it asks for the same as if it had not been.
    again = tmp_path / "again"
    again.mkdir()
    searched(path, again, stops_after=2)
    gone_on = searched(path, again)
    assert [run.values for run in gone_on[0]] == [run.values for run in runs[:4]]
    assert [run.values for run in gone_on[1]] == [run.values for run in runs[4:]]
    assert searched(path, again) == [[*gone_on[0], *gone_on[1]]]


@pytest.mark.parametrize(("goal", "best"), [("", 1), ("smallest = true\n", 2)])
def test_without_a_budget_trials_are_told_by_how_far_they_came(sweep_file, tmp_path, goal, best):
    """Their scores only have to hold, and the best of them is that of the least compressed."""
    path = sweep_file(FIELDS.replace("trials = 6", "trials = 4"))
    path.write_text(path.read_text().replace("speedup = 1.5\n", f"max_drop = 2.0\n{goal}"))
    [runs] = searched_for_goal(path, tmp_path)
    assert search_of(path, tmp_path, 4).best(runs) == [runs[best].name]


def searched_for_goal(path, out):
    """One round of four runs that met: of these speed-ups, sizes and scores."""
    reached = [(2.0, 0.9, 89.9), (4.0, 0.8, 88.1), (3.0, 0.4, 88.2), (2.5, 0.6, 88.3)]
    rounds = []
    for runs in search_of(path, out, 4).rounds():
        for run, (speedup, share, score) in zip(runs, reached, strict=True):
            *records, done, finished = run_records(score)
            student, on = facts(score, int(share * 2**18)), devices(8 / speedup, speedup)
            done = done.model_copy(update={"student": student, "devices": on})
            finished = finished.model_copy(update={"devices": on})
            write_ended(out / run.name, run.plan, [*records, done, finished])
        rounds.append(runs)
    return rounds


def test_each_combination_is_searched(sweep_file, tmp_path):
    path = sweep_file("[vary]\nseed = [0, 1]\n", FIELDS.replace("trials = 6", "trials = 1"))
    runs = [run for each in searched(path, tmp_path) for run in each]
    assert [run.values["seed"] for run in runs] == [0, 1]
    search = search_of(path, tmp_path, 1)
    met = [run.name for run in runs if run.values["optimizer"] == "sgd"]
    assert search.best(runs) == met


def test_what_was_asked_before_is_not_taken_for_something_else(sweep_file, tmp_path):
    path = sweep_file(FIELDS)
    (tmp_path / ASKED).write_text(json.dumps([{"alpha": 0.5}]))
    with pytest.raises(RunFolderError, match="holds a search of other settings"):
        searched(path, tmp_path)
    (tmp_path / ASKED).write_text('{"alpha"')
    with pytest.raises(RunFolderError, match=r"search\.json: is damaged"):
        searched(path, tmp_path)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("high = 1.0", "high = 0.001001"),
        ('["sgd", "adamw"]', '["adam"]'),
        ("optimizer =", "schedule ="),
    ],
)
def test_a_search_whose_settings_have_changed_does_not_go_on(sweep_file, tmp_path, before, after):
    path = sweep_file(FIELDS)
    searched(path, tmp_path, stops_after=1)
    path.write_text(path.read_text().replace(before, after))
    with pytest.raises(RunFolderError, match="holds a search of other settings"):
        searched(path, tmp_path)


def test_settings_that_are_asked_for_twice_are_run_once(sweep_file, tmp_path):
    path = sweep_file("[search]\ntrials = 5\n[search.fields]\noptimizer = ['sgd', 'adamw']\n")
    begun = []

    class Runner:
        def run(self, runs):
            for run in runs:
                begun.append(run.name)
                ended(SweepRun(run.name, {"learning_rate": 0.1, **run.values}, run.plan), out)
                yield run, None

    out = tmp_path / "out"
    sweep = Sweeping(path, out, 5, Silent(), "edgespiral sweep")._swept(Runner())
    assert len(begun) == len(set(begun)) == len(sweep.runs) <= 2
    assert all(run.outcome for run in sweep.runs)
    assert len(json.loads((out / ASKED).read_text())) == 5


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ("latency_ms = [1.0]", "search.fields.latency_ms: is no setting of the training; one of"),
        ("lerning_rate = [1.0]", "unknown field 'lerning_rate'; did you mean learning_rate"),
        ("alpha = []", r"search.fields.alpha"),
        ("alpha = { low = 0.9, high = 0.5 }", "low must be below high"),
        ("alpha = { low = 0.0, high = 0.5, log = true }", "low must be above 0 with log"),
    ],
)
def test_settings_that_cannot_be_searched_are_told_at_once(sweep_file, fields, problem):
    path = sweep_file(f"[search]\ntrials = 2\n[search.fields]\n{fields}\n")
    with pytest.raises(UsageError, match=problem):
        load_sweep(path)


def test_a_script_cannot_search(sweep_file, tmp_path):
    sweep = Sweeping(sweep_file(FIELDS), tmp_path / "out", None, Silent(), "edgespiral sweep")
    with pytest.raises(UsageError, match="--slurm: a search waits for scores"):
        sweep.for_slurm()
