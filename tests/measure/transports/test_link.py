"""What every link does: one of OpenSSH's, and one by way of a real adb server."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgespiral.measure.transports.adb_link import AdbLink
from edgespiral.measure.transports.base import DeviceLostError
from edgespiral.measure.transports.link import Link
from edgespiral.measure.transports.openssh import OpensshLink

SAY = "printf '%s\\n' \"$1\"; printf 'said %s' \"$3\"; cat; printf '\\n%s done\\n' \"$1\""
KINDS: dict[str, type[OpensshLink | AdbLink]] = {"board": OpensshLink, "phone": AdbLink}


@pytest.fixture(params=KINDS)
def device(request: pytest.FixtureRequest) -> Any:
    """A device behind ssh, then one behind adb."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def link(request: pytest.FixtureRequest, device: Any) -> Iterator[Link]:
    """A link of its kind, which is open."""
    link = KINDS[request.node.callspec.params["device"]](device.profile().transport)
    link.open(str(device.folder))
    yield link
    link.drop()


def ask(link: Link, script: str, tmp_path: Path, content: str = "") -> Any:
    (tmp_path / "content").write_text(content)
    with (tmp_path / "content").open("rb") as opened:
        return link.ask(script, "a b", content=opened, timeout_s=60)


def test_a_script_is_answered(device: Any, link: Link, tmp_path: Path) -> None:
    reply = ask(link, SAY, tmp_path, ", and more")
    assert (reply.state, reply.stdout, reply.stderr) == ("done", b"said a b, and more", "")
    assert link.alive
    assert link.close()
    assert not link.alive
    assert not link.close()
    assert list(device.folder.iterdir()) == []


def test_an_answer_without_its_end_is_none(link: Link) -> None:
    with pytest.raises(DeviceLostError, match="the connection broke"):
        link.ask("printf '%s\\nhalf of a document' \"$1\"", timeout_s=60)


def test_a_dropped_link_finds_its_folder_again(device: Any, link: Link, tmp_path: Path) -> None:
    first = link.work
    link.drop()
    with pytest.raises(DeviceLostError):
        link.ask(SAY, timeout_s=60)
    link.open(str(device.folder))
    assert link.work == first
    noisy = "echo welcome; echo MARK; " + SAY
    assert ask(link, noisy, tmp_path).stdout == b"said a b"
    assert link.close()


def test_a_device_that_says_nothing_is_given_up(link: Link) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        link.ask("sleep 600", timeout_s=0.5)
    assert link.alive
