import io
import socket
import time
from collections.abc import Iterator

import pytest

from edgespiral.measure.transports.adb_shell import (
    CLOSE_STDIN,
    EXIT,
    HEAD,
    STDERR,
    STDIN,
    STDOUT,
    AdbShell,
)


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, AdbShell]]:
    """A device's end of a connection, and the shell at this one."""
    device, here = socket.socketpair()
    with device, here:
        yield device, AdbShell(here, time.monotonic() + 60)


def packet(kind: int, content: bytes) -> bytes:
    return HEAD.pack(kind, len(content)) + content


def test_packets_are_read_up_to_the_exit_code(ends: tuple[socket.socket, AdbShell]) -> None:
    device, shell = ends
    sent = [(STDOUT, b"out"), (STDERR, b""), (STDOUT, b"a" * 70_000), (EXIT, b"\x03")]
    device.sendall(b"".join(packet(*one) for one in sent) + b"more")
    assert list(shell.packets()) == sent


def test_half_a_packet_is_the_end(ends: tuple[socket.socket, AdbShell]) -> None:
    device, shell = ends
    device.sendall(packet(STDOUT, b"whole") + packet(STDOUT, b"half")[:3])
    device.close()
    assert list(shell.packets()) == [(STDOUT, b"whole")]


def test_a_file_is_sent_whole_and_ended(ends: tuple[socket.socket, AdbShell]) -> None:
    device, shell = ends
    shell.write_all(io.BytesIO(b"content"))
    assert device.recv(100) == packet(STDIN, b"content") + packet(CLOSE_STDIN, b"")


def test_a_shell_that_takes_no_more_input_may_still_answer(
    ends: tuple[socket.socket, AdbShell],
) -> None:
    device, shell = ends
    device.sendall(packet(EXIT, b"\x01"))
    device.close()
    shell.write_all(io.BytesIO(b"content" * 100_000))
    assert list(shell.packets()) == [(EXIT, b"\x01")]


def test_a_shell_is_silent_until_it_speaks_or_ends(ends: tuple[socket.socket, AdbShell]) -> None:
    device, shell = ends
    assert shell.silent
    device.sendall(packet(STDOUT, b"word"))
    assert not shell.silent
    assert next(shell.packets()) == (STDOUT, b"word")
    assert shell.silent
    device.close()
    assert not shell.silent


def test_the_deadline_ends_the_waiting(ends: tuple[socket.socket, AdbShell]) -> None:
    _, shell = ends
    shell.deadline = time.monotonic() + 0.05
    with pytest.raises(TimeoutError):
        next(shell.packets())
    with pytest.raises(TimeoutError):
        shell.write(b"late")
