import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.table import Table
from rich.text import Text

import edgespiral
from edgespiral.cli.terminal import (
    OBEYING,
    OutputClosedError,
    Terminal,
    command_line,
    drop_unwritten,
    tell,
    tell_commands,
    tell_json,
)
from edgespiral.core.errors import ExitCode, RunFolderError

HOSTILE = "\x1b]0;owned\x1b[31m\x9b2J [/] [red]\u202e:: ##[error]x"
WRITTEN = r"\x1b]0;owned\x1b[31m\x9b2J [/] [red]\u202e"


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch):
    for name in OBEYING:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "200")


@pytest.mark.parametrize("wrap", [str, Text])
def test_text_is_data_wherever_it_stands(wrap, capsys):
    table = Table(title=wrap(HOSTILE), min_width=100)
    table.add_column("name")
    table.add_row(wrap(HOSTILE))
    Terminal().print(wrap(HOSTILE))
    Terminal().print(table)
    shown = capsys.readouterr().out
    assert shown.count(WRITTEN) == 3
    assert not {"\x1b", "\x9b", "\u202e"} & set(shown)


def test_colours_of_our_own_still_reach_a_terminal(monkeypatch, capsys):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    Terminal().print("text", style="red")
    assert capsys.readouterr().out == "\x1b[31mtext\x1b[0m\n"


def test_told_lines_are_data(capsys):
    tell(f"a\n{HOSTILE}")
    tell(HOSTILE, err=True)
    shown = capsys.readouterr()
    assert shown.out.startswith(f"a\n{WRITTEN}")
    assert shown.err.startswith(WRITTEN)


def test_json_says_the_same_and_is_printable(capsys, monkeypatch):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    tell_json(json.dumps([HOSTILE], ensure_ascii=False))
    shown = capsys.readouterr().out
    assert json.loads(shown) == [HOSTILE]
    assert not {"\x9b", "\u202e"} & set(shown)
    assert "##[" not in shown


@pytest.mark.parametrize("by", [*OBEYING, "flag"])
def test_what_github_would_obey_is_broken_up(by, capsys, monkeypatch):
    if by != "flag":
        monkeypatch.setenv(by, "true")
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_row(Text("::error::owned ##[error]owned ##vso[task.x]"))
    Terminal(github=by == "flag").print(table)
    if by != "flag":
        tell("::stop-commands::x")
    shown = capsys.readouterr().out
    assert "::" not in shown
    assert "##" not in shown
    tell_commands("::error file=a::b%0A\n")
    assert capsys.readouterr().err == "::error file=a::b%0A\n"


@pytest.mark.parametrize(
    ("path", "error"), [("/dev/full", RunFolderError), (None, OutputClosedError)]
)
@pytest.mark.parametrize("how", ["tell", "print"])
def test_a_stream_that_cannot_be_written_is_told(path, error, how, monkeypatch):
    if path is None:
        read_end, write_end = os.pipe()
        os.close(read_end)
        stream = os.fdopen(write_end, "w")
    else:
        stream = Path(path).open("w")  # noqa: SIM115
    monkeypatch.setattr(sys, "stdout", stream)
    with pytest.raises(error):
        tell("text") if how == "tell" else Terminal().print("text")
    monkeypatch.undo()
    with pytest.raises(OSError, match=r"."):
        stream.close()


def ended(command, **environment):
    return subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, env={**os.environ, **environment}
    )


RUN = f"{sys.executable} -m edgespiral"


def test_a_full_output_is_one_line_with_a_documented_code():
    done = ended(f"{RUN} targets list > /dev/full; echo $?")
    assert done.stdout == f"{ExitCode.RUN_FOLDER}\n"
    assert (
        done.stderr
        == "error: standard output: cannot write: No space left on device (see docs/artefacts.md)\n"
    )


def test_a_full_error_output_keeps_the_code():
    done = ended(f"{RUN} report none 2> /dev/full; echo $?")
    assert done.stdout == f"{ExitCode.RUN_FOLDER}\n"


def test_a_closed_pipe_ends_quietly():
    done = ended(f"{{ {RUN} targets list; echo $? >&2; }} | true")
    assert done.stderr == f"{ExitCode.OUTPUT_CLOSED}\n"


def test_an_encoding_without_dashes_is_no_error():
    done = ended(f"{RUN} targets list", PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_came_closed_take_what_is_printed(closed, tmp_path):
    """Nothing that is opened later gets their numbers, so no file has what is printed in it."""
    script = (
        "import os, sys; from edgespiral.cli.terminal import open_streams, drop_unwritten, tell;"
        " open_streams(); file = open('record', 'w'); tell('out'); tell('err', err=True);"
        " os.write(1, b'low'); os.write(2, b'low'); sys.stdin.read(); drop_unwritten()"
    )
    shell = ["sh", "-c", f'"$0" -c "$1" {closed}', sys.executable, script]
    done = subprocess.run(shell, cwd=tmp_path, stdin=subprocess.DEVNULL, check=False)
    assert done.returncode == 0
    assert (tmp_path / "record").read_bytes() == b""


def test_a_stream_that_somebody_closed_is_told(monkeypatch):
    with Path(os.devnull).open("w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
    with pytest.raises(RunFolderError, match="standard output: was closed"):
        Terminal().print("text")
    drop_unwritten()


def test_nothing_prints_past_the_terminal():
    package = Path(edgespiral.__file__).parent
    own = re.compile(r"typer\.echo|\bConsole\(\)|import rich\b|sys\.std(out|err)\.write")
    printing = {path.name for path in package.rglob("*.py") if own.search(path.read_text())}
    assert printing == {"terminal.py"}


def test_the_command_line_is_quoted_and_read_nowhere_else(monkeypatch):
    words = ["/usr/bin/edgespiral", "compress", "a net.py:make", "--speedup", "2"]
    monkeypatch.setattr(sys, "argv", words)
    assert command_line() == "edgespiral compress 'a net.py:make' --speedup 2"
    package = Path(edgespiral.__file__).parent
    reading = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if "sys.argv" in path.read_text() and not path.name.endswith("agent.py")
    }
    # Puts back what code of the user's did to it, and programs that run in a process of their own.
    programs = {"export/rebuilt.py", "measure/runtimes/mnn/convert.py"}
    programs |= {"measure/runtimes/executorch/lowering.py", "measure/runtimes/litert/to_tflite.py"}
    programs |= {"measure/runtimes/litert/round_weights.py"}
    others = {"core/system/process_state.py", *programs}
    assert {name for name in reading if not name.startswith("cli/")} == others
