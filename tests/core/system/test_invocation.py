from io import StringIO

import pytest
from rich.console import Console

from edgespiral.core.system.invocation import resume_command, tell_stopped


@pytest.mark.parametrize(
    ("command", "resumed"),
    [
        ("edgespiral compress 'a net.py:make'", "edgespiral compress 'a net.py:make' --resume"),
        ("edgespiral train resnet8 --resume", "edgespiral train resnet8 --resume"),
        (
            "edgespiral train resnet8 --out 'a --resume'",
            "edgespiral train resnet8 --out 'a --resume' --resume",
        ),
    ],
)
def test_resume_is_said_once(command: str, resumed: str) -> None:
    assert resume_command(command) == resumed


def test_how_to_go_on_is_one_line_to_paste() -> None:
    stream = StringIO()
    command = "edgespiral compress [x] --out " + "long/" * 30
    tell_stopped(Console(file=stream, width=40), command)
    assert stream.getvalue().splitlines()[1] == f"  {command} --resume"
