"""What the link to an adb server does alone; test_link.py has what all links do."""

import sys
from typing import Any

import pytest

from edgespiral.core.errors import MissingExtraError
from edgespiral.measure.transports.adb_link import AdbLink


def test_the_package_is_an_extra(monkeypatch: pytest.MonkeyPatch, phone: Any) -> None:
    with monkeypatch.context() as changed:
        changed.setitem(sys.modules, "adbutils", None)
        with pytest.raises(MissingExtraError, match=r"pip install 'edgespiral\[android\]'"):
            AdbLink(phone.profile().transport).open(str(phone.folder))


def test_the_server_and_its_version_are_told(phone: Any) -> None:
    link = AdbLink(phone.profile().transport)
    place = f"at 127.0.0.1:{phone.server_port}"
    assert link.described().startswith(f"adb {phone.serial}, by way of the server (1.0.")
    assert link.described().endswith(place)
