"""`edgespiral compress` in two processes of PyTorch's own launcher, on the CPU."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import torch
from quick_runs import PLAIN, flags

from edgespiral.cli.app import main
from edgespiral.core.errors import ExitCode
from edgespiral.core.records.events import RunFinished
from edgespiral.core.records.journal import read

Command = Callable[..., CompletedProcess[str]]
MATERIAL = Path(__file__).parents[1] / "several.py"
OPTIONS = (
    *(*flags(PLAIN), "--speedup", "1.2", "--max-drop", "100", "--batch-size", "16"),
    *("--epochs", "6", "--turns", "1", "--learning-rate", "0.05", "--amp", "off"),
    *("--pruner", "depgraph", "--out", "run"),
)


def words(data: str = "data", *more: str) -> tuple[str, ...]:
    return ("compress", f"{MATERIAL}:net", "--data", f"{MATERIAL}:{data}", *OPTIONS, *more)


def test_a_lost_process_is_replaced_and_a_stopped_run_goes_on_with_one(
    edgespiral_process: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = ("--train", f"{MATERIAL}:Fragile")
    done = edgespiral_process(*words("data", *own, "--devices", "2"))
    assert done.returncode == ExitCode.INTERRUPTED + 13, done.stderr  # SIGTERM
    assert (
        "process 1 was killed by SIGKILL (as the system does where memory is short): all start "
        "again from the last checkpoint" in done.stderr
    ), done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "killed").exists()
    assert (tmp_path / "stopped").exists()
    kept = torch.load(tmp_path / "run" / "turn-01" / "checkpoint.pt", weights_only=True)
    assert kept["step"] == 15
    begun = read(tmp_path / "run" / "journal.jsonl")
    assert not any(isinstance(event, RunFinished) for event in begun)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["edgespiral", *words("data", *own, "--resume")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == ExitCode.OK
    events = read(tmp_path / "run" / "journal.jsonl")
    assert list(events[: len(begun)]) == list(begun)
    assert isinstance(events[-1], RunFinished)


def test_a_process_with_other_data_is_refused_in_one_line(tmp_path: Path) -> None:
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    done = subprocess.run(
        [sys.executable, *launcher, "-m", "edgespiral", *words("differing")],
        cwd=tmp_path,
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode != ExitCode.OK
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert line.startswith("error: process 1 of ")
    assert " in: training data (samples or labels)" in line
    assert not (tmp_path / "run").exists()


REFUSED = {
    "shares": (
        ("--devices", "3"),
        "--batch-size: 16 samples cannot be shared out evenly among 3 processes; choose a multiple "
        "of 3, such as 15",
    ),
    "no GPU": (
        ("--devices", "all", "--device", "cpu"),
        "--devices: there is no GPU here that PyTorch can use; a number, such as 2, trains in so "
        "many processes on the CPU",
    ),
    "words": (
        ("--devices", "some"),
        "--devices: must be a whole number from 1 up or \"all\", is 'some'",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_shared_is_refused_before_anything_starts(
    what: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    more, told = REFUSED[what]
    monkeypatch.setattr(sys, "argv", ["edgespiral", *words("data", *more)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == ExitCode.USAGE
    assert " ".join(capsys.readouterr().err.split()) == f"error: {told} (see docs/commands.md)"


def test_of_several_processes_of_a_machine_one_complains(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost"}.items():
        monkeypatch.setenv(name, value)
    for local_rank, lines in (("1", 0), ("0", 1)):
        monkeypatch.setenv("LOCAL_RANK", local_rank)
        monkeypatch.setattr(sys, "argv", ["edgespiral", *words("data", "--turns", "some")])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == ExitCode.USAGE
        assert len(capsys.readouterr().err.splitlines()) == lines
