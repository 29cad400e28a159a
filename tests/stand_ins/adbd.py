"""A stand-in for an Android device's adb daemon, for machines without one.

`python adbd.py PORT STATE` answers a real adb server on loopback (adb's transport protocol: `CNXN`,
`OPEN`, `OKAY`, `WRTE`, `CLSE`; its shell protocol, version 2). Commands run in this machine's own
shell, with the environment that this was started with. STATE is `device`, or `unauthorized` for one
whose user has not allowed this computer. As on a device, a command loses its input and is told to
hang up when its stream ends.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from contextlib import suppress

HEADER = struct.Struct("<6I")
CNXN, AUTH, OPEN, OKAY, WRTE, CLSE = (
    int.from_bytes(name, "little")
    for name in (b"CNXN", b"AUTH", b"OPEN", b"OKAY", b"WRTE", b"CLSE")
)
PUBLIC_KEY = 3
VERSION, MOST_BYTES = 0x01000001, 64 * 1024
BANNER = b"device::ro.product.name=stand_in;ro.product.model=Stand_in;features=shell_v2,cmd"
PACKET = struct.Struct("<BI")
STDIN, STDOUT, STDERR, EXIT, CLOSE_STDIN = range(5)


class Line:
    """A connection to one adb server."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._sending = threading.Lock()
        self._streams: dict[int, Stream] = {}

    def serve(self, authorised: bool) -> None:
        while (message := self._receive()) is not None:
            command, first, second, content = message
            if command == AUTH and first == PUBLIC_KEY:
                # Now the user is asked, who does not answer.
                continue
            if command in (CNXN, AUTH):
                answer = (CNXN, VERSION, MOST_BYTES, BANNER)
                self.send(*(answer if authorised else (AUTH, 1, 0, os.urandom(20))))
            elif command == OPEN:
                self._open(first, content.rstrip(b"\0").decode())
            elif second in self._streams:
                self._streams[second].take(command, content)
        for stream in list(self._streams.values()):
            stream.end()

    def send(self, command: int, first: int, second: int, content: bytes = b"") -> None:
        head = HEADER.pack(command, first, second, len(content), 0, command ^ 0xFFFFFFFF)
        with self._sending, suppress(OSError):
            self._connection.sendall(head + content)

    def _open(self, remote: int, service: str) -> None:
        kind, _, command = service.partition(":")
        if not kind.startswith("shell,v2"):
            self.send(CLSE, 0, remote)
            return
        local = len(self._streams) + 1
        self.send(OKAY, local, remote)
        self._streams[local] = Stream(self, local, remote, command)

    def _receive(self) -> tuple[int, int, int, bytes] | None:
        head = exactly(self._connection, HEADER.size)
        if len(head) < HEADER.size:
            return None
        command, first, second, length, _, _ = HEADER.unpack(head)
        return command, first, second, exactly(self._connection, length)


class Stream:
    """One command and its packets."""

    def __init__(self, line: Line, local: int, remote: int, command: str) -> None:
        self._line, self._local, self._remote = line, local, remote
        self._acknowledged = threading.Semaphore(1)
        self._writing = threading.Lock()
        self._ended = False
        self._arrived = b""
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            ["sh", "-c", command],
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            cwd="/",
            start_new_session=True,
        )
        outputs = ((STDOUT, self._process.stdout), (STDERR, self._process.stderr))
        self._pumps = [threading.Thread(target=self._pump, args=one) for one in outputs]
        for thread in (*self._pumps, threading.Thread(target=self._wait)):
            thread.daemon = True
            thread.start()

    def take(self, command: int, content: bytes) -> None:
        if command == OKAY:
            self._acknowledged.release()
        elif command == CLSE:
            self.end()
        elif command == WRTE:
            self._arrived += content
            self._feed()
            self._line.send(OKAY, self._local, self._remote)

    def end(self) -> None:
        """What the device does when a stream ends before its command."""
        self._ended = True
        self._acknowledged.release()
        self._close_input()
        with suppress(ProcessLookupError):
            if self._process.poll() is None:
                os.kill(self._process.pid, signal.SIGHUP)

    def _feed(self) -> None:
        while len(self._arrived) >= PACKET.size:
            kind, length = PACKET.unpack_from(self._arrived)
            if len(self._arrived) < PACKET.size + length:
                return
            content = self._arrived[PACKET.size : PACKET.size + length]
            self._arrived = self._arrived[PACKET.size + length :]
            if kind == CLOSE_STDIN:
                self._close_input()
            elif kind == STDIN:
                with suppress(OSError, ValueError):
                    self._process.stdin.write(content)
                    self._process.stdin.flush()

    def _close_input(self) -> None:
        with suppress(OSError, ValueError):
            self._process.stdin.close()

    def _pump(self, kind: int, output) -> None:
        while chunk := output.read1(MOST_BYTES - PACKET.size):
            self._write(kind, chunk)

    def _wait(self) -> None:
        for pump in self._pumps:
            pump.join()
        code = self._process.wait()
        self._write(EXIT, bytes([code if code >= 0 else 128 - code]))
        self._line.send(CLSE, self._local, self._remote)

    def _write(self, kind: int, content: bytes) -> None:
        # One write is under way at a time: the next waits until it is acknowledged.
        with self._writing:
            self._acknowledged.acquire()
            if not self._ended:
                packet = PACKET.pack(kind, len(content)) + content
                self._line.send(WRTE, self._local, self._remote, packet)


def exactly(connection: socket.socket, length: int) -> bytes:
    content = b""
    while len(content) < length:
        chunk = b""
        with suppress(OSError):
            chunk = connection.recv(length - len(content))
        if not chunk:
            break
        content += chunk
    return content


def main(port: int, state: str) -> None:
    with socket.create_server(("127.0.0.1", port)) as server:
        while True:
            connection, _ = server.accept()
            line = Line(connection)
            arguments = (state == "device",)
            threading.Thread(target=line.serve, args=arguments, daemon=True).start()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
