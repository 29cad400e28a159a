from __future__ import annotations

import json

from edgespiral.core.errors import ExitCode


def test_the_command_shows_the_front_and_a_run_starts_from_it(edgespiral, place):
    words = ("net.py:net", "--data", "digits", "--target", "quick.toml", "--speedup", "2")
    done = edgespiral("explore", *words, "--pruner", "depgraph", "--points", "2", "--out", "front")
    assert done.returncode == 0, done.stderr
    assert "page: front/exploration.html" in done.stdout
    record = json.loads((place / "front" / "exploration.json").read_text())
    assert record["complete"]
    assert [point["number"] for point in record["points"]] == [1, 2][: len(record["points"])]
    start = ("--explored", "front", "--point", "1", "--epochs", "0.1", "--max-drop", "100")
    run = edgespiral("compress", *start, "--out", "run")
    assert run.returncode in (ExitCode.OK, ExitCode.UNREACHABLE), run.stderr
    journal = (place / "run" / "journal.jsonl").read_text()
    events = map(json.loads, journal.splitlines())
    planned = next(event for event in events if event["kind"] == "turn-planned")
    assert planned["widths"] == record["points"][0]["widths"]


def test_what_is_wrong_is_one_line_with_its_code(edgespiral, place):
    words = ("explore", "net.py:net", "--data", "digits")
    for more, code, problem in (
        (("--points", "1"), ExitCode.USAGE, "--points: must be from 2 to 64, is 1"),
        (("--criterion", "l1-reg"), ExitCode.USAGE, "l1-reg trains the model"),
        (("--runs", "none"), ExitCode.RUN_FOLDER, "cannot read the journal"),
    ):
        done = edgespiral(*words, *more, "--out", "front")
        assert done.returncode == code
        assert problem in done.stderr
        assert len(done.stderr.strip().splitlines()[-1:]) == 1
        assert "Traceback" not in done.stderr
    compress = edgespiral("compress", "--explored", "none", "--point", "1")
    assert compress.returncode == ExitCode.RUN_FOLDER
    assert compress.stderr.startswith("error: none/exploration.json: cannot be read")
