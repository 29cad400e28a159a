"""A connection to an Android device by way of an adb server, that knows why it ends.

Needs `adbutils`, which brings an adb program along; a server that runs already is used as it is.
"""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import time
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import Field

from edgespiral.core.errors import MissingExtraError, TargetError
from edgespiral.measure.completed import last_words
from edgespiral.measure.settings import NonEmpty, ShellSettings
from edgespiral.measure.transports.adb_shell import STDERR, STDOUT, AdbShell
from edgespiral.measure.transports.base import DeviceLostError
from edgespiral.measure.transports.link import Link
from edgespiral.measure.transports.output import check_size

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

T = TypeVar("T")

# Beyond the connection itself: the start of a shell on a slow device.
LOGIN_S = 30
CLOSING_S = 15
SERVER_START_S = 20
LOCAL = ("127.0.0.1", "localhost", "::1")
READY = "device"
ATTACH = (
    "attach it by USB, turn on USB debugging (Settings, Developer options; tap the build number "
    "seven times to see them) and allow this computer on its screen, or: adb connect HOST:PORT; "
    "then `adb devices` lists it"
)
MENDING = {
    "unauthorized": "unlock it and allow USB debugging from this computer on its screen",
    "no permissions": "let this user use it: install udev rules (Debian, Ubuntu: apt-get install "
    "android-sdk-platform-tools-common), then plug it in again",
    "offline": "plug it in again, or: adb reconnect offline",
    "recovery": "start it normally: adb reboot",
    "sideload": "start it normally: adb reboot",
    "bootloader": "start it normally: fastboot reboot",
}
# What passes within moments, and what passes once a cable is back in.
SETTLING = ("connecting", "authorizing")
PASSING = (*SETTLING, "offline")
POLL_S = 0.2


class AdbSettings(ShellSettings):
    """An Android device that an adb server reaches, by USB or by TCP."""

    kind: Literal["adb"]
    serial: Annotated[str, Field(pattern=r"^[^-\s]\S*$")] | None = None
    workdir: NonEmpty = "/data/local/tmp"

    @property
    def chosen_serial(self) -> str | None:
        """Of the device that adb itself would take; None for the only one."""
        return self.serial or os.environ.get("ANDROID_SERIAL")


class AdbLink(Link):
    """One connection to a device and the work folder that it keeps there.

    Args:
        settings: of the profile.
    """

    def __init__(self, settings: AdbSettings) -> None:
        super().__init__()
        self._limit_s = settings.connect_timeout_s
        self._serial = settings.chosen_serial
        self._keeper: AdbShell | None = None
        self._mark = ""
        self._connected_here = False

    @property
    def host(self) -> str:
        """The device's serial, as far as it is known."""
        return self._serial or "android device"

    @property
    def alive(self) -> bool:
        """Whether the connection stands, as far as is known."""
        return self._keeper is not None and self._keeper.silent

    def described(self) -> str:
        """The device's serial and the server that reaches it."""
        client = _client()
        version = _answered(client.server_version)
        return f"adb {self.host}, by way of the server (1.0.{version}) at {_place(client)}"

    def close(self) -> bool:
        """Remove the work folder and disconnect; False where the folder may still be there."""
        removed, closed = False, f"{self._mark} closed".encode()
        if self._keeper is not None:
            self._keeper.deadline = time.monotonic() + CLOSING_S
            with suppress(OSError):
                self._keeper.write(b"end\n")
                output = b"".join(words for _, words in self._keeper.packets())
                removed = closed in output
        self.drop()
        if self._connected_here and self._serial:
            self._connected_here = False
            with suppress(TargetError):
                _client().disconnect(self._serial)
        return removed

    def drop(self) -> None:
        """Disconnect, if connected; the device keeps the work folder for a while."""
        if self._keeper is not None:
            self._keeper.close()
        self._keeper = None

    def _keep(self, command: Sequence[str], mark: str) -> str:
        self._mark = mark
        self._find_device()
        self._keeper = self._start(command, time.monotonic() + self._limit_s + LOGIN_S)
        return self._first_words(self._keeper, mark)

    def _run(
        self,
        command: Sequence[str],
        content: IO[bytes] | None,
        timeout_s: float,
        most_bytes: int,
    ) -> tuple[bytes, str]:
        output: dict[int, bytearray] = {STDOUT: bytearray(), STDERR: bytearray()}
        with self._start(command, time.monotonic() + timeout_s) as shell:
            try:
                if content is not None:
                    shell.write_all(content)
                for kind, packet in shell.packets():
                    output.get(kind, bytearray()).extend(packet)
                    check_size(sum(map(len, output.values())), most_bytes)
            except TimeoutError as error:
                stderr = bytes(output[STDERR])
                raise subprocess.TimeoutExpired("adb", timeout_s, stderr=stderr) from error
        return bytes(output[STDOUT]), output[STDERR].decode(errors="replace")

    def _start(self, command: Sequence[str], deadline: float) -> AdbShell:
        import adbutils

        try:
            device = _client().device(self._serial)
            connection = device.open_transport(timeout=self._limit_s)
            connection.send_command(f"shell,v2,raw:{shlex.join(command)}")
            connection.check_okay()
        except (adbutils.AdbError, OSError) as error:
            raise self._lost(_words(error)) from error
        return AdbShell(connection.conn, deadline)

    def _first_words(self, keeper: AdbShell, mark: str) -> str:
        """What the keeper says when it is there; an error where it is not."""
        output = bytearray()
        with suppress(TimeoutError):
            for _, words in keeper.packets():
                output += words
                for line in output.decode(errors="replace").splitlines(keepends=True):
                    if line.startswith(mark) and line.endswith("\n"):
                        return line.removeprefix(mark).strip()
        self.drop()
        why = last_words(output.decode(errors="replace")) or "its shell does not answer"
        raise DeviceLostError(f"cannot be used: {why}", where=self.host)

    def _find_device(self) -> None:
        """Settle which device is meant, and see that it may be used."""
        import_adbutils()
        serial = self._serial or _only(_states())
        self._serial = serial
        if ":" in serial and _states().get(serial) != READY:
            self._connect(serial)
        state = self._settled_state(serial)
        if state is None:
            serials = ", ".join(sorted(_states()))
            hint = f"attached: {serials}" if serials else ATTACH
            raise DeviceLostError(
                "no such device is attached", where=serial, hint=hint, may_pass=":" in serial
            )
        if state in PASSING:
            raise DeviceLostError(f"the device is {state}", where=serial, hint=MENDING["offline"])
        if state != READY:
            mending = next((MENDING[name] for name in MENDING if state.startswith(name)), None)
            raise TargetError(f"the device is {state}", where=serial, hint=mending)
        if "shell_v2" not in _answered(_client().device(serial).get_features):
            hint = "Android 7 or later is needed"
            raise TargetError("its adb does not tell exit codes", where=serial, hint=hint)

    def _settled_state(self, serial: str) -> str | None:
        """The state of a device, once it is not about to change by itself."""
        end = time.monotonic() + self._limit_s
        while (state := _states().get(serial)) in SETTLING and time.monotonic() < end:
            time.sleep(POLL_S)
        return state

    def _connect(self, serial: str) -> None:
        """Have the server connect to a device by TCP; what comes of it, its state tells."""
        import adbutils

        client = _client()
        with suppress(adbutils.AdbError, OSError):
            if serial in _states():
                client.disconnect(serial)
            reply = client.connect(serial, timeout=self._limit_s)
            self._connected_here |= reply.startswith("connected")

    def _lost(self, stderr: str = "") -> DeviceLostError:
        why = last_words(stderr) or "no reason given"
        hint = "is it still attached? adb devices"
        return DeviceLostError(f"the connection broke: {why}", where=self.host, hint=hint)


def import_adbutils() -> Any:  # noqa: ANN401
    """The package that talks to adb servers.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import adbutils
    except ImportError as error:
        raise MissingExtraError("the transport adb", "android") from error
    return adbutils


def _client() -> Any:  # noqa: ANN401
    """A running adb server's client; where none runs on this machine, it is started.

    Raises:
        TargetError: there is none and it cannot be started.
    """
    adbutils = import_adbutils()
    client = adbutils.AdbClient()
    try:
        socket.create_connection((client.host, client.port), SERVER_START_S).close()
    except OSError as error:
        if client.host not in LOCAL:
            hint = "is ANDROID_ADB_SERVER_HOST right, and does `adb -a nodaemon server` run there?"
            raise DeviceLostError(
                f"no adb server answers: {_words(error)}", where=_place(client), hint=hint
            ) from error
        _start_server(adbutils, client)
    return client


def _start_server(adbutils: Any, client: Any) -> None:  # noqa: ANN401
    try:
        program = adbutils.adb_path()
        command = [program, "-P", str(client.port), "start-server"]
        subprocess.run(  # noqa: S603 (the program that adbutils finds)
            command, capture_output=True, text=True, timeout=SERVER_START_S, check=True
        )
    except (adbutils.AdbError, OSError, subprocess.SubprocessError) as error:
        reason = last_words(getattr(error, "stderr", None) or _words(error))
        hint = "start it by hand to see why: adb start-server"
        what = f"no adb server runs, and none could be started: {reason}"
        raise TargetError(what, where=_place(client), hint=hint) from error


def _states() -> dict[str, str]:
    """The state of every device that the server knows, by serial."""
    client = _client()
    states = {device.serial: device.state for device in _answered(client.list)}
    # adbutils takes a state for one word.
    return {
        serial: "no permissions" if state == "no" else state for serial, state in states.items()
    }


def _answered(ask: Callable[[], T]) -> T:
    """What a server says when it is asked this."""
    import adbutils

    try:
        return ask()
    except (adbutils.AdbError, OSError, ValueError, LookupError) as error:
        raise DeviceLostError(f"the adb server says: {_words(error)}") from error


def _only(states: Mapping[str, str]) -> str:
    """The serial of the only device there is."""
    if not states:
        raise DeviceLostError("no Android device is attached", hint=ATTACH, may_pass=False)
    if len(states) > 1:
        listed = ", ".join(f"{serial} ({state})" for serial, state in sorted(states.items()))
        raise TargetError(
            f"{len(states)} devices are attached: {listed}",
            hint='name one: serial = "..." in the target\'s [transport], or ANDROID_SERIAL',
        )
    return next(iter(states))


def _place(client: Any) -> str:  # noqa: ANN401
    return f"{client.host}:{client.port}"


def _words(error: BaseException) -> str:
    return last_words(str(error)) or type(error).__name__
