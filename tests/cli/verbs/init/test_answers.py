"""Questions to who sits at a terminal."""

import os
import pty
import sys
from pathlib import Path
from subprocess import Popen

import pytest

from edgespiral.cli.verbs.init.answers import Answers, budget_of, completed
from edgespiral.core.errors import UsageError

NOTHING = dict.fromkeys(("model", "data", "target", "latency_ms", "speedup"))


def answering(*said: str):
    left = list(said)
    return lambda question, default="", **_: left.pop(0) or default


def test_only_what_is_missing_is_asked_for() -> None:
    answers = completed(Answers(NOTHING), answering("net.py:net", "photos", "ssh:pi", "8 ms"))
    assert answers.fields["model"] == "net.py:net"
    assert (answers.fields["data"], answers.fields["latency_ms"]) == ("photos", 8.0)
    assert answers.transport == {"kind": "ssh", "host": "pi"}
    named = {"model": "m", "data": "d", "target": ["host-cpu"], "speedup": 2.0}
    whole = Answers({**NOTHING, **named})
    assert completed(whole, answering()) == whole


def test_an_empty_answer_is_the_default_or_a_stub() -> None:
    answers = completed(Answers(NOTHING), answering("", "", "", ""))
    assert answers.fields == {**NOTHING, "speedup": 2.0}
    assert answers.transport == {"kind": "local"}


@pytest.mark.parametrize("said", ["8", "fast", "ms", "x2"])
def test_a_budget_has_a_unit(said: str) -> None:
    with pytest.raises(UsageError, match="say it as 8ms or as 2x"):
        budget_of(said)


def test_a_host_is_named() -> None:
    with pytest.raises(UsageError, match="say it as ssh:HOST"):
        completed(Answers(NOTHING), answering("", "", "ssh:", ""))


def test_it_asks_at_a_real_terminal(here: Path) -> None:
    ours, theirs = pty.openpty()
    words = ["init", "--data", "mine.py:data", "--target", "host-cpu", "--speedup", "2"]
    command = [sys.executable, "-m", "edgespiral", *words]
    with Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=here) as process:
        os.close(theirs)
        os.write(ours, b"mine.py:net\n")
        said = b""
        while True:
            try:
                part = os.read(ours, 4096)
            except OSError:  # Linux's way of saying that the other end is closed
                break
            said += part
            if not part:
                break
    os.close(ours)
    assert process.returncode == 0, said
    assert b"Your model" in said
    assert 'model = "mine.py:net"' in (here / "plan.toml").read_text()
