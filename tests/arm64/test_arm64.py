"""What `make arm64` says where it cannot be done; the rest takes root, QEMU and minutes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.arm64.__main__ import main
from tests.arm64.root import NotHereError, program, run

if TYPE_CHECKING:
    from pathlib import Path


def test_a_machine_that_lacks_the_emulator_is_told_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert main(["--root", str(tmp_path / "root")]) == 2
    said = capsys.readouterr().err
    assert said.startswith("no ARM64 machine: qemu-aarch64-static is missing; ")
    assert said.endswith("apt-get install qemu-user-static\n")
    assert not (tmp_path / "root").exists()


def test_only_root_enters_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert main(["--root", str(tmp_path / "root")]) == 2
    assert "by root of a Linux alone" in capsys.readouterr().err


def test_what_fails_while_it_is_made_is_its_last_line() -> None:
    assert program("sh", "dash").endswith("/sh")
    with pytest.raises(NotHereError, match=r"^it cannot be made: no such suite$"):
        run(["sh", "-c", "echo first; echo no such suite >&2; exit 3"], "it cannot be made")
