import os
import platform
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from subprocess import CompletedProcess

import psutil
import pytest

import edgespiral as package
from edgespiral.core.errors import BrokenInstallError, ExitCode

Command = Callable[..., CompletedProcess[str]]
VERBS = (
    "compress",
    "train",
    "measure",
    "export",
    "build",
    "report",
    "validate",
    "plugins",
    "targets",
    "bench",
)


def test_help_names_every_verb(edgespiral: Command) -> None:
    done = edgespiral("--help")
    assert done.returncode == ExitCode.OK
    assert [verb for verb in VERBS if not re.search(rf"^\W*{verb} ", done.stdout, re.M)] == []


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(edgespiral: Command, verb: str) -> None:
    done = edgespiral(verb, "--help")
    assert done.returncode == ExitCode.OK
    assert verb in done.stdout


def test_the_version_is_the_package_s(edgespiral: Command) -> None:
    assert edgespiral("--version").stdout == f"edgespiral {package.__version__}\n"


@pytest.mark.parametrize("words", [("--version", "--verbose"), ("--verbose", "--version")])
def test_the_long_version_has_what_a_bug_report_needs(
    edgespiral: Command, words: tuple[str, str]
) -> None:
    done = edgespiral(*words)
    assert (done.returncode, done.stderr) == (ExitCode.OK, "")
    first, *lines = done.stdout.splitlines()
    assert first == f"edgespiral {package.__version__}"
    told = dict(line.split(": ", 1) for line in lines)
    assert told["python"] == platform.python_version()
    assert told["platform"] == platform.platform()
    for name in ("torch", "torchvision", "onnx", "onnxruntime", "nni", "torch-pruning"):
        assert told[name] == version(name)
    assert int(told["usable cores"]) == len(os.sched_getaffinity(0))
    assert told["cpu"]


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("--verbose", "--verbose: goes with --version"),
        ("--", "no command is given; edgespiral --help lists them"),
    ],
)
def test_options_without_a_command_are_refused(edgespiral: Command, word: str, told: str) -> None:
    done = edgespiral(word)
    assert (done.returncode, done.stderr) == (
        ExitCode.USAGE,
        f"error: {told} (see docs/commands.md)\n",
    )


@pytest.mark.parametrize("words", [["compres"], ["compress", "--speed", "2"], ["validate"]])
def test_a_mistyped_command_line_is_a_usage_error(edgespiral: Command, words: list[str]) -> None:
    done = edgespiral(*words)
    assert done.returncode == ExitCode.USAGE
    assert "Traceback" not in done.stderr


def test_an_error_is_one_line_however_long_and_has_its_exit_code(
    edgespiral: Command, tmp_path: Path
) -> None:
    folder = tmp_path / ("long-[bold]-name" * 12)
    done = edgespiral("report", str(folder), COLUMNS="40")
    assert done.returncode == ExitCode.RUN_FOLDER
    assert done.stdout == ""
    assert done.stderr == (
        f"error: {folder}/journal.jsonl: cannot read the journal: No such file or directory; "
        "name the folder of a run (see docs/artefacts.md)\n"
    )


def broken_module(tmp_path: Path, raises: str) -> dict[str, str]:
    """An environment in which the first use of pydantic raises, as a defect would."""
    # `python -m` looks in the current folder first.
    (tmp_path / "pydantic.py").write_text(f"def load(): raise {raises}\nload()\n", encoding="utf-8")
    (tmp_path / "plan.toml").touch()
    return {"TMPDIR": str(tmp_path)}


def test_a_defect_is_one_line_that_names_a_file_with_the_traceback(
    edgespiral_process: Command, tmp_path: Path
) -> None:
    environment = broken_module(tmp_path, "ZeroDivisionError('two\\nlines')")
    done = edgespiral_process("validate", "plan.toml", **environment)
    assert done.returncode == ExitCode.INTERNAL
    found = re.fullmatch(
        r"internal error: ZeroDivisionError: two lines; details in (\S+) "
        r"\(set EDGESPIRAL_DEBUG=1 for the traceback\)\n",
        done.stderr,
    )
    assert found
    assert "in load\n" in Path(found[1]).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "raises",
    [
        "ImportError('libgone.so: cannot open shared object file')",
        "RuntimeError('operator torchvision::nms does not exist')",
    ],
)
def test_a_library_that_does_not_fit_is_no_defect(
    edgespiral_process: Command, tmp_path: Path, raises: str
) -> None:
    done = edgespiral_process("validate", "plan.toml", **broken_module(tmp_path, raises))
    assert done.returncode == ExitCode.USAGE
    assert done.stderr.startswith("error: a library cannot be loaded: ")
    assert done.stderr.endswith(f"what to do (see docs/{BrokenInstallError.page})\n")


def test_the_traceback_of_a_defect_can_be_asked_for(
    edgespiral_process: Command, tmp_path: Path
) -> None:
    environment = broken_module(tmp_path, "ZeroDivisionError")
    done = edgespiral_process("validate", "plan.toml", EDGESPIRAL_DEBUG="1", **environment)
    assert done.returncode == ExitCode.INTERNAL
    assert "Traceback" in done.stderr


def test_an_interrupt_ends_without_a_traceback(edgespiral_process: Command, tmp_path: Path) -> None:
    done = edgespiral_process(
        "validate", "plan.toml", **broken_module(tmp_path, "KeyboardInterrupt")
    )
    assert done.returncode == ExitCode.INTERRUPTED
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("raises", "told"),
    [
        ("OSError(28, 'No space left on device')", "a file cannot be used: No space left"),
        ("OSError(30, 'Read-only file system', '/srv/a')", "/srv/a: cannot be used: Read-only"),
        ("OSError(28, 'No space left', 'HERE/a')", "$TMPDIR (HERE): cannot be used: No space left"),
        (
            "FileNotFoundError(2, 'No usable temporary directory found in [1]')",
            "$TMPDIR: no folder for temporary files can be written to",
        ),
    ],
)
def test_what_the_disk_is_the_cause_of_is_no_defect(
    edgespiral_process: Command, tmp_path: Path, raises: str, told: str
) -> None:
    environment = broken_module(tmp_path, raises.replace("HERE", str(tmp_path)))
    done = edgespiral_process("validate", "plan.toml", **environment)
    assert done.returncode == ExitCode.RUN_FOLDER
    assert done.stderr.startswith(f"error: {told.replace('HERE', str(tmp_path))}")
    assert done.stderr.count("\n") == 1


def test_a_defect_that_cannot_be_written_down_is_one_line(
    edgespiral_process: Command, tmp_path: Path
) -> None:
    environment = broken_module(tmp_path, "ZeroDivisionError('a\\x1b[2Jb')")
    (tmp_path / "sitecustomize.py").write_text(
        "import tempfile\ndef none(*_, **__): raise OSError(28, 'No space left on device')\n"
        "tempfile.NamedTemporaryFile = none\n"
    )
    done = edgespiral_process("validate", "plan.toml", **environment, PYTHONPATH=str(tmp_path))
    assert done.returncode == ExitCode.INTERNAL
    assert r"ZeroDivisionError: a\x1b[2Jb; details in no file" in done.stderr
    assert done.stderr.count("\n") == 1


LONG = """
schema = 1
name = "long"
[runtime]
kind = "onnxruntime"
[transport]
kind = "local"
[measure]
rounds = 40
round_ms = 2000
max_samples = 10000000
"""


def started(tmp_path: Path, *words: str) -> "subprocess.Popen[str]":
    """The command line in a process of its own, whose temporary folder is `tmp`."""
    (tmp_path / "tmp").mkdir()
    return subprocess.Popen(
        [sys.executable, "-m", "edgespiral", *words],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path / "tmp"), "COLUMNS": "200", "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def awaited(condition: Callable[[], object]) -> bool:
    end = time.monotonic() + 120
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return bool(condition())


def working(folder: Path) -> list[int]:
    """The processes that run below a folder."""
    found = []
    for process in psutil.process_iter(["cwd", "pid", "status"]):
        inside = (process.info["cwd"] or "").startswith(str(folder))
        if inside and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process.info["pid"])
    return found


@pytest.mark.parametrize("signals", [[15], [1], [15, 15], [2, 2], [9]])
@pytest.mark.parametrize("verb", ["measure", "targets check"])
def test_a_measurement_that_is_ended_leaves_nothing(
    tmp_path: Path, tiny: Path, verb: str, signals: list[int]
) -> None:
    (tmp_path / "long.toml").write_text(LONG)
    measure = ["measure", str(tiny), "--target", "long.toml"]
    words = measure if verb == "measure" else [*verb.split(), "long.toml"]
    with started(tmp_path, *words) as process:
        assert awaited(lambda: working(tmp_path / "tmp"))
        for number in signals:
            process.send_signal(number)
            time.sleep(0.1)
        _, stderr = process.communicate(timeout=60)
    first = signals[0]
    assert process.returncode == (-9 if first == 9 else 128 + first)
    assert awaited(lambda: not working(tmp_path / "tmp"))
    if first != 9:
        assert stderr == ("" if first == 2 else f"stopped by {signal.Signals(first).name}\n")
        assert list((tmp_path / "tmp").iterdir()) == []


def test_a_training_that_is_ended_is_gone_on_with(tmp_path: Path) -> None:
    words = ["train", "resnet20", "--data", "digits", "--epochs", "50", "--out", "out"]
    with started(tmp_path, *words) as process:
        assert awaited((tmp_path / "out" / "checkpoint.pt").exists)
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "Go on with" in stderr
    assert "--epochs 50 --out out --resume" in stderr
    assert "Traceback" not in stderr
    # PyTorch makes one of its own.
    assert list((tmp_path / "tmp").glob("edgespiral*")) == []


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize(("words", "code"), [("--version", 0), ("measure --nope", 2)])
def test_closed_streams_are_no_defect(closed: str, words: str, code: int) -> None:
    shell = f'"$0" -m edgespiral {words} {closed}'
    done = subprocess.run(
        ["sh", "-c", shell, sys.executable], capture_output=True, text=True, check=False
    )
    assert done.returncode == code
    assert "Traceback" not in done.stderr


def test_a_working_folder_that_is_gone_is_named(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    shell = f'rmdir "{gone}"; "$0" -m edgespiral validate plan.toml'
    done = subprocess.run(
        ["sh", "-c", shell, sys.executable], cwd=gone, capture_output=True, text=True, check=False
    )
    assert done.returncode == ExitCode.RUN_FOLDER
    assert done.stderr.startswith("error: the working folder: cannot be used: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_that_comes_in_a_destructor_is_not_lost(
    edgespiral_process: Command, tmp_path: Path, name: str
) -> None:
    """Python drops what is raised there, and prints a traceback."""
    (tmp_path / "net.py").write_text(
        "import signal, time\n"
        "class Last:\n"
        "    def __del__(self):\n"
        f"        signal.raise_signal(signal.{name})\n"
        "def make():\n"
        "    Last()\n"
        "    time.sleep(60)\n"
    )
    done = edgespiral_process("export", "net.py:make", "--data", "digits", "--out", "m.onnx")
    assert done.returncode == 128 + signal.Signals[name]
    assert "Traceback" not in done.stderr


INTERRUPTED_IMPORT = """
import os, signal, sys
class Pressing:
    def find_spec(self, name, path=None, target=None):
        if name == "edgespiral.cli.app":
            os.kill(os.getpid(), signal.{name})
            os.kill(os.getpid(), signal.{name})
sys.meta_path.insert(0, Pressing())
from edgespiral.__main__ import main
main()
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_before_the_command_is_imported_ends_it_without_a_traceback(name: str) -> None:
    command = [sys.executable, "-c", INTERRUPTED_IMPORT.format(name=name), "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (128 + signal.Signals[name], "", "")
