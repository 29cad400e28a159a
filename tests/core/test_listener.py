from __future__ import annotations

import io

from rich.console import Console

from edgespiral.core.listener import OnConsole, Silent


def test_lines_stay_on_the_console_and_bars_do_not():
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    listener = OnConsole(console)
    listener.say("turn 1: to 2 ms")
    with listener.steps("distilling") as advance:
        advance(5, 10, "loss 0.5")
    shown = console.file.getvalue()
    assert shown.startswith("turn 1: to 2 ms")
    assert "50%" in shown


def test_text_in_brackets_is_text():
    console = Console(file=io.StringIO(), width=100)
    OnConsole(console).say("wrote runs/[a]/model.onnx")
    assert console.file.getvalue() == "wrote runs/[a]/model.onnx\n"


def test_silence_is_silent(capsys):
    listener = Silent()
    listener.say("anything")
    with listener.steps("anything") as advance:
        advance(1, 2, "")
    assert capsys.readouterr() == ("", "")
