"""`targets new` as a user has it; measure/test_new_profile.py has what is written for whom."""

import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from edgespiral.cli.verbs.targets.group import targets_app
from edgespiral.core.errors import TargetError, UsageError
from edgespiral.measure.profile import load_profile


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


def new(*words: str) -> Result:
    return CliRunner().invoke(targets_app, ["new", *words])


def test_a_board_behind_ssh_gets_a_profile(elsewhere: Path, board: Any) -> None:
    options = ("--ssh-config", str(board.config), "--workdir", str(board.folder))
    result = new("desk", "--ssh", "board", "--python", sys.executable, *options)
    assert result.exit_code == 0, result.output
    assert "written to targets/desk.toml; try it: edgespiral targets check desk" in result.output
    profile = load_profile("desk")
    assert (profile.runtime.kind, profile.transport.kind) == ("onnxruntime", "ssh")
    assert (elsewhere / "targets" / "desk.toml").read_text() in result.output
    assert f"# ssh board ({profile_user(result.output)}@127.0.0.1, port" in result.output
    assert list(board.folder.iterdir()) == []


def profile_user(output: str) -> str:
    return output.partition("# ssh board (")[2].partition("@")[0]


def test_a_phone_gets_a_profile(phone: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORT_PERF_TEST", "perf_test")
    phone.program(
        "getprop", "case $1 in ro.build.version.release) echo 14;; *) echo Stand-in;; esac"
    )
    options = ("--serial", phone.serial, "--workdir", str(phone.folder), "--python", "python9")
    result = new("pocket", "--adb", *options)
    assert result.exit_code == 0, result.exception
    profile = load_profile("pocket")
    assert (profile.runtime.kind, profile.transport.kind) == ("android", "adb")
    assert profile.model_dump()["runtime"]["binary"] == "perf_test"
    assert list(phone.folder.iterdir()) == []


def test_a_target_is_not_overwritten_unasked(elsewhere: Path) -> None:
    (elsewhere / "targets").mkdir()
    (elsewhere / "targets" / "desk.toml").write_text("mine")
    error = new("desk", "--local").exception
    assert isinstance(error, UsageError)
    assert str(error) == "targets/desk.toml: is there already; overwrite it with --force"
    assert new("desk", "--local", "--force").exit_code == 0
    assert load_profile("desk").transport.kind == "local"


def test_a_device_that_cannot_be_reached_leaves_no_file(elsewhere: Path, board: Any) -> None:
    board.stop()
    error = new("desk", "--ssh", "board", "--ssh-config", str(board.config)).exception
    assert isinstance(error, TargetError)
    assert not (elsewhere / "targets").exists()


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["desk"], "not by none; give one of --ssh HOST, --adb or --local"),
        (["desk", "--adb", "--local"], "not by adb and local"),
        (["../desk", "--local"], "cannot be a target's name"),
        (["desk", "--local", "--serial", "1"], "unknown key 'serial'"),
    ],
)
def test_a_bad_command_says_what_to_do(words: list[str], problem: str) -> None:
    error = new(*words).exception
    assert isinstance(error, UsageError)
    assert problem in str(error)
