import sys
from typing import Any

import pytest

from edgespiral.core.errors import TargetError, UsageError
from edgespiral.measure.targets.survey import DeviceSurvey, read_survey, survey


def test_values_are_read_and_empty_ones_left_out() -> None:
    found = read_survey("speed=1\nspeed=2\nmodel=\nnoise\nflags=a=b c\n")
    assert found == {"speed": ("1", "2"), "flags": ("a=b c",)}


def test_this_machine_is_asked() -> None:
    found = survey("here", {"kind": "local"})
    assert found.get("python") == ".".join(map(str, sys.version_info[:3]))
    assert "CPUExecutionProvider" in found.get("providers").split()
    assert found.numbers("cores")[0] >= 1
    assert found.get("no_onnxruntime") == ""


def test_a_device_is_asked_over_ssh(board: Any) -> None:
    board.install_trtexec("8.6.1")
    board.program("nvpmodel", "echo 'NV Power Mode: MAXN'; echo 0")
    settings = board.profile(python="python9").transport.model_dump(exclude_none=True)
    found = survey("board", settings)
    assert (found.get("tensorrt"), found.get("power_mode")) == ("8601", "MAXN")
    assert found.get("trtexec") == str(board.bin / "trtexec")
    assert found.get("python") == ""
    assert found.way["connection"].startswith("ssh board (")
    assert list(board.folder.iterdir()) == []


def test_settings_that_are_wrong_are_told() -> None:
    with pytest.raises(UsageError, match=r"transport.serial: unknown key 'serial'"):
        survey("here", {"kind": "local", "serial": "1"})


def test_a_shell_that_says_nothing_is_an_error(board: Any) -> None:
    board.program("uname", "exit 1")
    settings = board.profile().transport.model_dump(exclude_none=True)
    with pytest.raises(TargetError, match="board: its shell broke off in its answer"):
        survey("board", settings)


@pytest.mark.parametrize(
    "line",
    [
        *(f"speed={other}" for other in ("8\u00b2", "--5", "1e9", "1,5", "9" * 40, "nan")),
        *(f"cores={other}" for other in ("0", "-4", "4x", "\u0664", "9" * 20)),
        *(f"tensorrt={other}" for other in ("10.3", "v10")),
        *(f"python={other}" for other in ("3", "three", "3.\u00b2")),
    ],
)
def test_what_is_no_number_is_left_out(line: str) -> None:
    key = line.partition("=")[0]
    assert read_survey(line) == {}
    assert DeviceSurvey({}, read_survey(line)).numbers(key) == []


def test_what_cannot_be_shown_becomes_a_space() -> None:
    assert read_survey("model=Board\x1b[31m\x7f \x00x\n") == {"model": ("Board [31m   x",)}
