from __future__ import annotations

import io
import logging

import pytest
from rich.console import Console

from edgespiral.core.errors import MissingExtraError, UsageError
from edgespiral.core.listener import Listener, OnConsole, TrainingProgress
from edgespiral.core.plugins import extra_of
from edgespiral.loggers import LOGGERS
from edgespiral.loggers.listening import check_logs, in_program, on_console

OWN = '''
import edgespiral
from pathlib import Path


class Log(edgespiral.Listener):
    """Writes the kinds of records beside itself."""

    def record_written(self, record):
        with Path(__file__).with_suffix(".txt").open("a") as file:
            file.write(record.kind + "\\n")


def none():
    return 7


def fails():
    raise OSError("no such disk")
'''


class Raises(Listener):
    """Fails at the second record, and counts what it heard."""

    def __init__(self):
        self.heard = 0

    def record_written(self, record):
        self.heard += 1
        if self.heard == 2:
            raise SystemExit("no route\nto host")


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "own_log.py"
    path.write_text(OWN)
    return path


def shown(logs):
    console = Console(file=io.StringIO(), width=200)
    return console.file, on_console(OnConsole(console), logs)


def test_a_log_of_ones_own_hears_beside_the_console(own, records):
    file, listener = shown([f"{own}:Log"])
    listener.say("turn 1")
    for record in records[:2]:
        listener.record_written(record)
    assert file.getvalue() == "turn 1\n"
    assert own.with_suffix(".txt").read_text() == "run-started\nbaseline\n"


def test_what_a_program_listens_with_may_fail_and_is_warned_of_once(records, caplog):
    raises = Raises()
    listener = in_program(raises, [])
    with caplog.at_level(logging.WARNING):
        for record in records:
            listener.record_written(record)
        with listener.steps("planning") as advance:
            advance(1, 2, "")
        listener.run_closed(None)
    assert raises.heard == 2
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("warning: the log Raises fails, and the run goes on without it")
    assert "SystemExit: no route to host" in line
    assert "\n" not in line


def test_bars_that_fail_are_no_bars(tmp_path, caplog):
    class Bars:
        """As programs of before have one: it hears lines and bars alone."""

        def steps(self, label):
            raise OSError("no screen")

    listener = in_program(Bars(), [])
    listener.run_opened(tmp_path, [])
    listener.training_progressed(TrainingProgress("distilling", 10, 20, 0.5, 0.1, 1.0))
    with caplog.at_level(logging.WARNING), listener.steps("planning") as advance:
        advance(1, 2, "x")
    assert "no screen" in caplog.text


def test_ctrl_c_passes_a_listener(records):
    class Presses(Listener):
        def record_written(self, record):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        in_program(Presses(), []).record_written(records[0])


def test_a_log_that_cannot_be_is_one_line(own):
    for names, problem in (
        (["tensorbord"], "unknown log 'tensorbord'; did you mean tensorboard"),
        ([f"{own}:Log", f"{own}:Log"], "is named twice"),
        ([f"{own}:Lag"], "no function 'Lag' in the file"),
        (["none.py:Log"], "no such file"),
    ):
        with pytest.raises(UsageError, match=problem):
            check_logs(names)
    for name, problem in (("none", "a int is no edgespiral.Listener"), ("fails", "no such disk")):
        with pytest.raises(UsageError, match=problem):
            shown([f"{own}:{name}"])


def test_a_client_that_is_missing_is_named_by_its_extra(monkeypatch):
    import importlib

    def lacks(name):
        raise ModuleNotFoundError(f"No module named {top!r}", name=top)

    monkeypatch.setattr(LOGGERS, "_loaded", {})
    monkeypatch.setattr(importlib, "import_module", lacks)
    for top in ("tensorboard", "mlflow", "wandb"):
        assert extra_of(top) == top
        with pytest.raises(MissingExtraError, match=rf"pip install 'edgespiral\[{top}\]'"):
            check_logs([top])
