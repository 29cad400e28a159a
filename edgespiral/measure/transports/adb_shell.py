"""One command in a device's shell, by adb's shell protocol: packets of input, output and exit code.

A packet is an id (one byte), a length (four bytes, little-endian) and that many bytes
(`shell_protocol.h` of adb). The device ends the command's input when the connection ends.
"""

from __future__ import annotations

import socket
import struct
import time
from typing import IO, TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterator

STDIN, STDOUT, STDERR, EXIT, CLOSE_STDIN = range(5)
HEAD = struct.Struct("<BI")
CHUNK = 32 * 1024
# Of what adb sends, the most is a mebibyte; what says more is no packet.
LONGEST_PACKET = 1 << 26


class AdbShell:
    """A command that runs on a device as long as this is open, unless it ends by itself.

    Args:
        connection: to the adb server, with the command begun on it.
        deadline: on the monotonic clock, for everything that is sent and read.
    """

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self._socket = connection
        self.deadline = deadline

    def __enter__(self) -> Self:
        """Nothing: the command runs already."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the connection, and with it the command's input."""
        self.close()

    def close(self) -> None:
        """End the connection, and with it the command's input."""
        self._socket.close()

    @property
    def silent(self) -> bool:
        """Whether the command runs and has not said anything that was not read."""
        try:
            self._socket.setblocking(False)
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def write(self, content: bytes) -> None:
        """Send input.

        Raises:
            TimeoutError: the deadline has passed.
            OSError: the connection broke.
        """
        self._send(STDIN, content)

    def write_all(self, content: IO[bytes]) -> None:
        """Send a whole file as the input, then its end; a command that takes less is no error."""
        try:
            while chunk := content.read(CHUNK):
                self._send(STDIN, chunk)
            self._send(CLOSE_STDIN, b"")
        except TimeoutError:
            raise
        except OSError:
            # The answer, or its absence, says what happened.
            return

    def packets(self) -> Iterator[tuple[int, bytes]]:
        """Id and content of what comes, until the exit code or the end of the connection.

        Raises:
            TimeoutError: the deadline has passed.
        """
        while True:
            head = self._exactly(HEAD.size)
            if len(head) < HEAD.size:
                return
            kind, length = HEAD.unpack(head)
            if length > LONGEST_PACKET:
                return
            yield kind, self._exactly(length)
            if kind == EXIT:
                return

    def _send(self, kind: int, content: bytes) -> None:
        self._wait_at_most()
        self._socket.sendall(HEAD.pack(kind, len(content)) + content)

    def _exactly(self, length: int) -> bytes:
        content = bytearray()
        while len(content) < length:
            self._wait_at_most()
            try:
                chunk = self._socket.recv(length - len(content))
            except TimeoutError:
                raise
            except OSError:
                break
            if not chunk:
                break
            content += chunk
        return bytes(content)

    def _wait_at_most(self) -> None:
        left_s = self.deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        self._socket.settimeout(left_s)
