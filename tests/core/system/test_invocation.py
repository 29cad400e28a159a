from __future__ import annotations

import subprocess
import sys

SHOW = """
from edgespiral.core.system.invocation import command_line, resume_command
print(command_line())
print(resume_command())
"""


def shown(*words):
    command = [sys.executable, "-c", SHOW, *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def test_words_are_quoted_and_resume_is_added():
    line, resumed = shown("compress", "a net.py:make", "--speedup", "2")
    assert line == "edgespiral compress 'a net.py:make' --speedup 2"
    assert resumed == f"{line} --resume"


def test_resume_is_not_said_twice():
    line, resumed = shown("train", "resnet8", "--resume")
    assert resumed == line
