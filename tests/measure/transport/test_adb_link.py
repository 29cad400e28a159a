"""The link to an adb server; test_adb.py and test_shell.py have it with its transport."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from edgespiral.core.errors import MissingExtraError
from edgespiral.measure.transport import DeviceLostError
from edgespiral.measure.transport.adb_link import AdbLink

SAY = "printf '%s\\n' \"$1\"; printf 'said %s' \"$3\"; printf '\\n%s done\\n' \"$1\""


@pytest.fixture
def link(phone: Any) -> Iterator[AdbLink]:
    link = AdbLink(phone.profile().transport)
    link.open(str(phone.folder))
    yield link
    link.drop()


def test_a_script_is_answered(phone: Any, link: AdbLink) -> None:
    reply = link.ask(SAY, "a b", timeout_s=60)
    assert (reply.state, reply.stdout, reply.stderr) == ("done", b"said a b", "")
    assert link.alive
    assert link.close()
    assert not link.alive
    assert not link.close()
    assert list(phone.folder.iterdir()) == []


def test_an_answer_without_its_end_is_none(link: AdbLink) -> None:
    with pytest.raises(DeviceLostError, match="the connection broke"):
        link.ask("printf '%s\\nhalf of a document' \"$1\"", timeout_s=60)


def test_a_dropped_link_finds_its_folder_again(phone: Any, link: AdbLink) -> None:
    first = link.work
    link.drop()
    with pytest.raises(DeviceLostError):
        link.ask(SAY, timeout_s=60)
    link.open(str(phone.folder))
    assert link.work == first
    assert link.close()


def test_a_device_that_says_nothing_is_given_up(link: AdbLink) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        link.ask("sleep 600", timeout_s=0.5)
    assert link.alive


def test_the_package_is_an_extra(monkeypatch: pytest.MonkeyPatch, phone: Any) -> None:
    with monkeypatch.context() as changed:
        changed.setitem(sys.modules, "adbutils", None)
        with pytest.raises(MissingExtraError, match=r"pip install 'edgespiral\[android\]'"):
            AdbLink(phone.profile().transport).open(str(phone.folder))
