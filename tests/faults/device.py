"""A device behind a real ssh server on loopback; a proxy may spoil the connections to it."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devices import Board

from tests.faults import sandbox
from tests.faults.invariants import Broken
from tests.faults.material import target
from tests.faults.place import remove

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.faults.campaign import Lab
    from tests.faults.place import Place

# A device that has lost its host has this long to notice and to tidy up.
TIDIES_S = 20.0
GRACE_S = 15


def missing() -> str | None:
    """Why there can be no such device; None where there can."""
    programs = f"{sys.exec_prefix}/bin:/usr/bin:/usr/sbin:/usr/local/sbin"
    names = [one for one in ("ssh", "sshd", "ssh-keygen") if not shutil.which(one, path=programs)]
    return f"{', '.join(names)} is missing (openssh)" if names else None


@contextmanager
def device(lab: Lab, name: str, spoilt: Sequence[dict[str, Any]] = ()) -> Iterator[Board]:
    """A device that is on, and off at the end.

    Args:
        spoilt: connections to it, as the proxy's plan; through no proxy if there are none.
    """
    folder = sandbox.scratch() / "devices" / name.replace("/", "-")
    remove(folder)
    folder.mkdir(parents=True)
    board = Board(folder)
    # Else a server waits two minutes for a host that fell silent before it had logged in.
    board.extra = f"LoginGraceTime {GRACE_S}"
    proxy = None
    try:
        board.start()
        if spoilt:
            proxy = _proxied(board, spoilt)
        lab.server.spare()
        yield board
    finally:
        if proxy is not None:
            proxy.kill()
            proxy.wait()
        board.stop()
        lab.server.kill_orphans()
        remove(folder)


def describe(board: Board, place: Place, rounds: int = 6, round_ms: int = 2) -> None:
    """Write the target `device.toml` of a device into a working folder."""
    way = "\n".join(
        (
            *('host = "board"', f'config = "{board.config}"', f'workdir = "{board.folder}"'),
            *(f'python = "{sys.executable}"', "timeout_s = 60", "connect_timeout_s = 5"),
            *("retry_s = 30", "keepalive_s = 1"),
        )
    )
    text = target("device", transport="ssh", way=way, rounds=rounds, round_ms=round_ms)
    (place.cwd / "device.toml").write_text(text)


def spoilt_on(board: Board) -> int:
    """How many connections to a device the proxy has spoilt."""
    tally = board.config.with_name("plan.spoilt")
    return tally.stat().st_size if tally.is_file() else 0


def waits(words: str) -> bool:
    """Whether a command line is of what waits for a lost host for a while: its keeper, or sshd."""
    is_server = words.startswith("sshd: [accepted]")
    return is_server or "grace" in words or re.fullmatch(r"sleep \d{3,}", words) is not None


def left_on(board: Board) -> list[Broken]:
    """What is on a device after its host has ended orderly."""
    left = sorted(path.name for path in board.folder.iterdir())
    return [Broken("something is left on the device", ", ".join(left)[:200])] if left else []


def _proxied(board: Board, spoilt: Sequence[dict[str, Any]]) -> subprocess.Popen[bytes]:
    plan = board.config.with_name("plan.json")
    plan.write_text(json.dumps(list(spoilt)))
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = int(one.getsockname()[1])
    words = [sys.executable, "-B", "-m", "tests.faults.proxy", str(port), str(board.port)]
    proxy = subprocess.Popen([*words, str(plan)], cwd=sandbox.ROOT)
    board.config.write_text(board.config.read_text().replace(f"{board.port}", f"{port}"))
    known = board.known_hosts.read_text()
    board.known_hosts.write_text(known.replace(f"]:{board.port}", f"]:{port}"))
    _await_listening(port)
    return proxy


def _await_listening(port: int) -> None:
    """Return when a port is listened on, without a connection, which the plan would count."""
    wanted, end = f":{port:04X} 00000000:0000 0A", time.monotonic() + 30
    while time.monotonic() < end:
        with suppress(OSError):
            if wanted in Path("/proc/net/tcp").read_text():
                return
        time.sleep(0.02)
    raise RuntimeError("the proxy does not listen")
