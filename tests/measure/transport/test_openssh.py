import io
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgespiral.core.errors import TargetError
from edgespiral.measure.transport import DeviceLostError
from edgespiral.measure.transport.openssh import OpensshLink

SAY = "printf '%s\\n' \"$1\"; printf 'said %s' \"$3\"; cat; printf '\\n%s done\\n' \"$1\""


@pytest.fixture
def link(board: Any) -> Iterator[OpensshLink]:
    link = OpensshLink(board.profile().transport)
    yield link
    link.drop()


def test_a_script_is_answered(board: Any, link: OpensshLink, tmp_path: Path) -> None:
    (tmp_path / "content").write_text(", and more")
    link.open(str(board.folder))
    with (tmp_path / "content").open("rb") as content:
        reply = link.ask(SAY, "a b", content=content, timeout_s=60)
    assert (reply.state, reply.stdout, reply.stderr) == ("done", b"said a b, and more", "")
    assert link.alive
    assert link.close()
    assert not link.alive
    assert list(board.folder.iterdir()) == []


def test_an_answer_without_its_end_is_none(board: Any, link: OpensshLink) -> None:
    link.open(str(board.folder))
    with pytest.raises(DeviceLostError, match="the connection broke"):
        link.ask("printf '%s\\nhalf of a document' \"$1\"", timeout_s=60)


def test_a_dropped_link_finds_its_folder_again(board: Any, link: OpensshLink) -> None:
    link.open(str(board.folder))
    first = link.work
    link.drop()
    with pytest.raises(DeviceLostError):
        link.ask(SAY, timeout_s=60)
    link.open(str(board.folder))
    assert link.work == first
    assert link.close()
    assert not link.close()


def test_what_a_login_shell_prints_is_not_taken_for_an_answer(
    board: Any, link: OpensshLink
) -> None:
    link.open(str(board.folder))
    noisy = "echo welcome; echo MARK; " + SAY
    assert link.ask(noisy, "x", timeout_s=60, content=_empty(board)).stdout == b"said x"


def _empty(board: Any) -> io.BufferedReader:
    path = board.bin / "empty"
    path.touch()
    return path.open("rb")


def test_a_device_that_says_nothing_is_given_up(board: Any, link: OpensshLink) -> None:
    link.open(str(board.folder))
    with pytest.raises(subprocess.TimeoutExpired):
        link.ask("sleep 600", timeout_s=0.5)
    assert link.alive


def test_a_bad_configuration_is_told(board: Any, tmp_path: Path) -> None:
    (tmp_path / "config").write_text("NoSuchKeyword yes\n")
    settings = board.profile(config=str(tmp_path / "config")).transport
    with pytest.raises(TargetError, match=r"onfiguration option.*mend ssh's configuration"):
        OpensshLink(settings).open(str(board.folder))
    settings = board.profile(config=str(tmp_path / "nothing")).transport
    with pytest.raises(TargetError, match="Can't open user config file"):
        OpensshLink(settings).open(str(board.folder))
