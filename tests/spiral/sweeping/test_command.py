from __future__ import annotations

import signal

from edgespiral.core.errors import ExitCode
from edgespiral.spiral.plan import load_plan
from edgespiral.spiral.sweeping.command import plan_file, problem_of, unfinished
from edgespiral.spiral.sweeping.plan import SweepPlan, run_of


def test_the_line_that_a_run_ended_with_is_its_problem(tmp_path):
    log = tmp_path / "run.log"
    log.write_text("error: one\nmuch\n" * 9 + "internal error: \x1b[2Jtwo\nlast words\n")
    assert problem_of(1, log) == ("\\x1b[2Jtwo", 1)
    assert problem_of(ExitCode.UNREACHABLE, log) is None
    assert problem_of(3, tmp_path / "gone.log") == (
        f"ended with code 3, see {tmp_path}/gone.log",
        3,
    )


def test_a_run_whose_process_is_killed_has_a_code_that_is_documented(tmp_path):
    log = tmp_path / "run.log"
    log.write_text("error: of an earlier step\n")
    text, code = problem_of(-signal.SIGKILL, log)
    assert text == f"its process was ended by SIGKILL, see {log}"
    assert code == ExitCode.TRAINING
    assert "signal 99" in problem_of(-99, log).text


def test_a_run_that_left_no_outcome_is_one_that_failed(tmp_path):
    text, code = unfinished(tmp_path / "a\nb")
    assert "left no outcome in" in text
    assert "\n" not in text
    assert code == ExitCode.RUN_FOLDER


def test_a_plan_is_written_so_that_it_is_read_as_it_was(tmp_path):
    odd = "a'b\"c\\d $(touch x) `y` \N{SNOWMAN}"
    sweep = SweepPlan(plan={"model": "n.py:net", "data": "digits"}, vary={"weights": [odd]})
    run = run_of(sweep, {"weights": odd, "speedup": 2.0}, "here")
    written = load_plan(plan_file(run, tmp_path), {})
    assert str(written.weights) == odd
    assert written.out == tmp_path / run.name
    assert written.model_copy(update={"out": None, "shared": None}) == run.plan
