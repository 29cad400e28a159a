"""Child processes of runs that import nothing anew: forks of a server, started once a worker.

A run measures each candidate in a process of its own and rebuilds its model in another, and each
of these imports ONNX Runtime or PyTorch, which takes longer than most of what a test asks of it.
Here they are forks of a process that has imported these: processes of their own all the same,
with streams, environment, folder, session and end as the product asks for, and the product's own
programs in them. Tests of how such processes begin and end have plain ones (`RUNS` has where).
"""

from __future__ import annotations

import atexit
import io
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, NoReturn

# Where tests of whole runs are, below the folder of the tests.
RUNS = ("spiral", "cli", "test_api.py", "test_docs.py", "test_doctests.py", "test_examples.py")
AGENTS, MODELS = ("numpy", "onnxruntime"), ("torch", "safetensors.torch")
STREAMS = 3
MOST_BYTES = 1 << 20


class Warm:
    """Whether processes are forked now, whether anything asks here for them, and who forks them.

    `sockets` are those of the servers by what these have imported.
    """

    is_on = is_installed = False
    sockets: ClassVar[dict[tuple[str, ...], str]] = {}


def use(path: Path) -> None:
    """Fork processes in the tests of the file `path`, below the folder of the tests, or do not."""
    Warm.is_on = any(path.is_relative_to(place) for place in RUNS)
    if Warm.is_on:
        _install()


def sockets() -> dict[tuple[str, ...], str]:
    """Servers that a process of one's own may `adopt`."""
    return {modules: server(modules) for modules in (AGENTS, MODELS)} if Warm.is_on else {}


def adopt(sockets: dict[tuple[str, ...], str]) -> None:
    """Fork processes by the servers of another process, if it has any."""
    Warm.sockets.update(sockets)
    Warm.is_on = bool(sockets)
    if sockets:
        _install()


def _install() -> None:
    """Have the two modules that begin such processes ask here."""
    from edgespiral.export import rebuilt
    from edgespiral.measure.transports import local

    if not Warm.is_installed:
        for module in (rebuilt, local):
            vars(module)["subprocess"] = SimpleNamespace(**{**vars(subprocess), "Popen": started})
    Warm.is_installed = True


def started(argv: list[str], **options: Any) -> subprocess.Popen[Any]:
    """As `subprocess.Popen`, by a fork where the command is one of the two."""
    is_python = argv[0] == sys.executable
    if Warm.is_on and is_python and argv[1].endswith("_agent.py"):
        return Forked(argv, modules=AGENTS, **options)
    if Warm.is_on and is_python and argv[1:4] == ["-P", "-B", "-c"]:
        return Forked(argv, modules=MODELS, **options)
    return subprocess.Popen(argv, **options)


class Forked(subprocess.Popen[Any]):
    """A fork of the server that has imported `modules`."""

    def __init__(self, argv: list[str], *, modules: tuple[str, ...], **options: Any) -> None:
        self._modules = modules
        super().__init__(argv, **options)

    def _execute_child(self, args: list[str], *rest: Any) -> None:
        cwd, env = rest[4:6]
        p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite = rest[9:15]
        self._server = socket.socket(socket.AF_UNIX)
        self._server.connect(server(self._modules))
        asked = {"argv": args, "cwd": str(cwd or Path.cwd()), "env": dict(env or os.environ)}
        null = os.open(os.devnull, os.O_RDWR)
        streams = [null if end == -1 else end for end in (p2cread, c2pwrite, errwrite)]
        socket.send_fds(self._server, [json.dumps(asked).encode() + b"\n"], streams)
        os.close(null)
        self.pid = int(self._server.recv(64))
        self._child_created = True
        self._close_pipe_fds(p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite)

    def _try_wait(self, wait_flags: int) -> tuple[int, int]:
        if self._waits(None if wait_flags == 0 else 0.0):
            return self.pid, int(self._server.recv(64) or signal.SIGKILL)
        return 0, 0

    def _internal_poll(self, *_: Any, **__: Any) -> int | None:
        if self.returncode is None and self._waits(0.0):
            self._handle_exitstatus(self._try_wait(0)[1])
        return self.returncode

    def _handle_exitstatus(self, *status: Any) -> None:
        self._server.close()
        super()._handle_exitstatus(*status)

    def _waits(self, seconds: float | None) -> bool:
        with selectors.DefaultSelector() as waiting:
            waiting.register(self._server, selectors.EVENT_READ)
            return bool(waiting.select(seconds))


def server(modules: tuple[str, ...]) -> str:
    """The socket of a server with these modules, which ends with the process that began it."""
    if modules not in Warm.sockets:
        Warm.sockets[modules] = _begun(modules)
    return Warm.sockets[modules]


def _begun(modules: tuple[str, ...]) -> str:
    path = str(Path(tempfile.mkdtemp(prefix="warm-"), "socket"))
    command = [sys.executable, __file__, path, *modules]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen(command, **pipes, start_new_session=True)
    atexit.register(process.kill)
    assert process.stdout is not None
    with process.stdout as said:
        assert said.readline() == b"ready\n"
    return path


def serve(path: str, modules: list[str]) -> None:
    """Fork whenever asked to, until the input ends."""
    sys.path.pop(0)  # the folder of the tests, which a child of the product's does not see
    for name in modules:
        __import__(name)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    os.write(1, b"ready\n")
    with selectors.DefaultSelector() as waiting:
        waiting.register(listener, selectors.EVENT_READ)
        waiting.register(0, selectors.EVENT_READ)
        while True:
            for key, _ in waiting.select():
                if key.fileobj is listener:
                    connection, _ = listener.accept()
                    with suppress(ConnectionError):  # of a client that is killed
                        pid = _fork(connection, waiting)
                        handle = os.pidfd_open(pid)
                        waiting.register(handle, selectors.EVENT_READ, (pid, connection))
                elif key.fileobj == 0:
                    return
                else:
                    waiting.unregister(key.fileobj)
                    os.close(key.fd)
                    _tell_end(*key.data)


def _fork(connection: socket.socket, waiting: selectors.BaseSelector) -> int:
    text, streams, _, _ = socket.recv_fds(connection, MOST_BYTES, STREAMS)
    while not text.endswith(b"\n"):
        more = connection.recv(MOST_BYTES)
        if not more:
            raise ConnectionResetError
        text += more
    pid = os.fork()
    if pid == 0:
        waiting.close()
        connection.close()
        _become(json.loads(text), streams)
    for stream in streams:
        os.close(stream)
    with suppress(ConnectionError):  # of a client that is killed
        connection.sendall(str(pid).encode())
    return pid


def _tell_end(pid: int, connection: socket.socket) -> None:
    _, status = os.waitpid(pid, 0)
    with connection, suppress(ConnectionError):  # of a client that is killed
        connection.sendall(str(status).encode())


def _become(asked: dict[str, Any], streams: list[int]) -> NoReturn:
    """Be the process that was asked for, in a forked child, and never come back."""
    code = 1
    try:
        os.setsid()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        os.closerange(STREAMS, max(streams) + 1)
        os.chdir(asked["cwd"])
        os.environ.clear()
        os.environ.update(asked["env"])
        code = _ended_with(asked["argv"])
    finally:
        os._exit(code)


def _ended_with(argv: list[str]) -> int:
    tempfile.tempdir = None
    sys.stdin, sys.stdout = os.fdopen(0, closefd=False), os.fdopen(1, "w", closefd=False)
    plain = os.fdopen(2, "wb", buffering=0, closefd=False)
    sys.stderr = io.TextIOWrapper(plain, errors="backslashreplace", write_through=True)
    try:
        if argv[1].endswith(".py"):
            sys.argv = argv[1:]
            sys.path.insert(0, str(Path.cwd()))
            runpy.run_path(argv[1], run_name="__main__")
        else:
            # The process that is to be its parent is the server's client.
            sys.argv, sys.dont_write_bytecode = ["-c", str(os.getppid())], True
            exec(compile(argv[4], "<string>", "exec"), {"__name__": "__main__"})
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:  # as the interpreter does with what nobody caught
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2:])
