"""A fork server: the product is imported once, and every fault has a child process of its own.

The child runs the product's own entry point, as the `edgespiral` command does, with its own
standard streams, home, temporary folder, cache and limits. What it says, how it ends, what it used
and what it leaves running is told by `Outcome`. The sandbox's process table holds nobody else's
processes, so whatever is new in it is the fault's.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import resource
import select
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from tests.faults import sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tests.faults.place import Place

IMPORTED = (
    *("torch", "torchvision", "nni", "torch_pruning", "onnx", "onnxruntime", "sklearn.datasets"),
    *("scipy.stats", "ruptures", "junitparser", "jinja2", "rich.progress", "safetensors.torch"),
    *("edgespiral.cli.app", "edgespiral.spiral.run", "edgespiral.report.html"),
    *("edgespiral.gate.run", "edgespiral.gate.outputs", "edgespiral.gate.history"),
    *(
        "edgespiral.teacher",
        "edgespiral.export.int8.calibration",
        "edgespiral.measure.targets.check",
    ),
    *("edgespiral.models.load", "edgespiral.data.sources.folder", "edgespiral.gate.report.history"),
)
# Read when PyTorch is loaded: threads that spin while they wait take tenfold on a busy machine.
THREADS = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
TELEMETRY = "ORT_DISABLE_TELEMETRY"
# Of addresses, beyond what the imports have mapped; an honest command takes a fifth of it.
MAPPED_MIB = 4096
ORPHANS_S = 4.0


@dataclass(frozen=True)
class Limits:
    """What a fault's process may use.

    Attributes:
        seconds: after which it hangs and is killed.
        memory_mib: of addresses, beyond what its imports have.
        file_bytes: the largest file that it can write.
    """

    seconds: float = 60.0
    memory_mib: int = MAPPED_MIB
    file_bytes: int = resource.RLIM_INFINITY


@dataclass
class Outcome:
    """How a fault's process ended.

    Attributes:
        exit_code: negative where a signal killed it.
        hung: it did not end in time.
        grown_mib: the most memory that it held, beyond what its imports take.
        left: command lines of what still ran when it had ended.
        signalled: the signals that it was sent.
        unheard: what it said cannot be read, as its stream was a device, or a file that was full.
    """

    argv: Sequence[str]
    exit_code: int
    stdout: str
    stderr: str
    seconds: float
    hung: bool = False
    grown_mib: int = 0
    left: list[str] = field(default_factory=list)
    signalled: list[int] = field(default_factory=list)
    unheard: bool = False


class Running:
    """A process that a fork server has started; `wait` has to be called."""

    def __init__(self, pid: int, argv: Sequence[str], place: Place, limits: Limits) -> None:
        self.pid, self.argv = pid, tuple(argv)
        self._place, self._limits = place, limits
        self._handle = os.pidfd_open(pid)
        self._started, self._signalled = time.monotonic(), list[int]()

    def has_ended(self, within_s: float = 0.0) -> bool:
        """Whether it has ended, or does so in a time."""
        return bool(select.select([self._handle], [], [], max(0.0, within_s))[0])

    def await_start(self, within_s: float = 30.0) -> None:
        """Return when the product's own code begins, or the process has ended."""
        end = time.monotonic() + within_s
        while not self._place.ready.exists() and time.monotonic() < end:
            if self.has_ended(0.005):
                return

    def send(self, number: int) -> None:
        """Send it a signal, if it still runs."""
        if not self.has_ended():
            self._signalled.append(number)
            signal.pidfd_send_signal(self._handle, number)

    def wait(self) -> Outcome:
        """Its end, at the latest at the end of its time."""
        hung = not self.has_ended(self._started + self._limits.seconds - time.monotonic())
        if hung:
            signal.pidfd_send_signal(self._handle, signal.SIGKILL)
        _, status, usage = os.wait4(self.pid, 0)
        os.close(self._handle)
        said = [_text(path) for path in (self._place.stdout, self._place.stderr)]
        return Outcome(
            argv=self.argv,
            exit_code=os.waitstatus_to_exitcode(status),
            stdout=said[0],
            stderr=said[1],
            seconds=time.monotonic() - self._started,
            hung=hung,
            grown_mib=(usage.ru_maxrss - _peak_kib()) // 1024,
            signalled=self._signalled,
            unheard=self._is_unheard(),
        )

    def _is_unheard(self) -> bool:
        stream, most = self._place.stderr, self._limits.file_bytes
        is_full = most != resource.RLIM_INFINITY and stream.stat().st_size >= most
        return is_full or not stream.is_file()


class ForkServer:
    """Starts the product again and again, without importing it again.

    Raises:
        NotSealedError: this is not the sandbox.
    """

    def __init__(self) -> None:
        sandbox.require()
        self._import()
        self._own = set(_processes())
        most = (_addresses_mib() + MAPPED_MIB) << 20
        resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))
        gc.collect()
        gc.freeze()

    def start(
        self,
        argv: Sequence[str],
        place: Place,
        limits: Limits = Limits(),
        *,
        before: Callable[[], None] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Running:
        """Start `edgespiral ARGV` in a place.

        Args:
            before: called in the child, before the product is.
            environment: over that of the place.
        """
        sys.stdout.flush()
        sys.stderr.flush()
        place.ready.unlink(missing_ok=True)
        pid = os.fork()
        if pid == 0:
            _become(argv, place, limits, before, {**place.environment, **(environment or {})})
        return Running(pid, argv, place, limits)

    def run(
        self,
        argv: Sequence[str],
        place: Place,
        limits: Limits = Limits(),
        *,
        before: Callable[[], None] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Outcome:
        """Run `edgespiral ARGV` in a place to its end; see `start`."""
        running = self.start(argv, place, limits, before=before, environment=environment)
        return self.swept(running.wait())

    def swept(
        self,
        outcome: Outcome,
        within_s: float = 0.5,
        may_stay: Callable[[str], bool] = lambda _: False,
    ) -> Outcome:
        """The outcome with what still runs a while after it, which is then killed.

        Args:
            may_stay: whether a process with such a command line is meant to stay.
        """
        end = time.monotonic() + within_s
        while left := [words for words in self._orphans().values() if not may_stay(words)]:
            if time.monotonic() > end:
                break
            time.sleep(0.02)
        outcome.left = left
        self.kill_orphans()
        return outcome

    def kill_orphans(self) -> None:
        """End all that is not of this server itself."""
        end = time.monotonic() + ORPHANS_S
        while (orphans := self._orphans()) and time.monotonic() < end:
            for pid in orphans:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)

    def spare(self) -> None:
        """Count what runs now, such as a server that faults talk to, as this server's own."""
        self._own = set(_processes())

    def _orphans(self) -> dict[int, str]:
        """Command lines of what is not this server's own; what has ended is reaped first."""
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        return {pid: words for pid, words in _processes().items() if pid not in self._own}

    def _import(self) -> None:
        # In this process alone: what the product does about it is to be seen in its own processes.
        os.environ[TELEMETRY] = "1"
        os.environ.update(THREADS)
        for name in IMPORTED:
            with contextlib.suppress(ImportError):
                __import__(name)
        del os.environ[TELEMETRY]
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _become(
    argv: Sequence[str],
    place: Place,
    limits: Limits,
    before: Callable[[], None] | None,
    environment: Mapping[str, str],
) -> NoReturn:
    """Be the product, in a forked child, and never come back."""
    code = 70
    try:
        os.setsid()
        _redirect(place)
        _limit(limits)
        os.environ.clear()
        os.environ.update(environment)
        _forget_caches()
        os.chdir(place.cwd)
        sys.argv = ["edgespiral", *argv]
        if before is not None:
            before()
        place.ready.touch()
        code = _ended_with()
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _ended_with() -> int:
    from edgespiral.cli.app import main

    try:
        main()
    except SystemExit as ending:
        return ending.code if isinstance(ending.code, int) else int(ending.code is not None)
    except BaseException:  # as the interpreter does with what nobody caught
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def _redirect(place: Place) -> None:
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    for number, path in ((1, place.stdout), (2, place.stderr)):
        # The goal may be a device such as /dev/full.
        goal = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(goal, number)
        os.close(goal)
    os.close(empty)


def _limit(limits: Limits) -> None:
    most = (_addresses_mib() + limits.memory_mib) << 20
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if limits.file_bytes != resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limits.file_bytes, limits.file_bytes))


def _forget_caches() -> None:
    """What the server's own environment had decided is decided anew."""
    import tempfile

    tempfile.tempdir = None


def _text(stream: Path) -> str:
    # A device such as /dev/full has no end.
    return stream.read_bytes().decode("utf-8", "backslashreplace") if stream.is_file() else ""


def _addresses_mib() -> int:
    """What this process has mapped."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize() >> 20


def _peak_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _processes() -> dict[int, str]:
    """Command lines by number, without those that have ended."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (
                (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            )
            # A process that has ended and was not waited for has no words; nor have the kernel's.
            if words:
                found[int(folder.name)] = words.strip()
    return found
