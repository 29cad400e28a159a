"""What the devices of the tests have in common."""

import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from edgespiral.measure.profile import TargetProfile

WAIT_S = 60
STAND_INS = Path(__file__).parents[1] / "stand_ins"

# Does the second thing, in a thread, as soon as the first is true.
Meanwhile = Callable[[Callable[[], object], Callable[[], object]], None]


class Device(Protocol):
    """A device of the tests, whatever link it is behind."""

    folder: Path
    bin: Path

    def program(self, name: str, text: str) -> Path:
        """Put a shell script on the device's PATH."""
        ...

    def pause_once(self, name: str) -> Path:
        """Make a program of the device hang at its first call, which leaves the file returned."""
        ...

    def profile(
        self, runtime: dict[str, object] | None = None, **transport: object
    ) -> TargetProfile:
        """A target that measures briefly on this device."""
        ...


def brief_profile(
    name: str, runtime: dict[str, object] | None, transport: dict[str, object], rounds: int = 6
) -> TargetProfile:
    """A target that measures in few short rounds."""
    return TargetProfile.model_validate(
        {
            "schema": 1,
            "name": name,
            "runtime": runtime or {"kind": "onnxruntime"},
            "transport": transport,
            "measure": {"warmup_ms": 2, "rounds": rounds, "round_ms": 1, "min_samples": 12},
        }
    )


def paused(device: Device, name: str) -> Path:
    """Make a program of `device` hang at its first call; the file that shows it was called."""
    real, mark = shutil.which(name), device.bin / f"{name}-was-called"
    device.program(name, f'[ -e "{mark}" ] || {{ : > "{mark}"; sleep 600; }}\nexec {real} "$@"')
    return mark


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture
def meanwhile() -> Iterator[Meanwhile]:
    """Does one thing, in a thread, as soon as another is true."""
    threads: list[threading.Thread] = []

    def begin(when: Callable[[], object], what: Callable[[], object]) -> None:
        def wait() -> None:
            end = time.monotonic() + WAIT_S
            while not when() and time.monotonic() < end:
                time.sleep(0.01)
            what()

        threads.append(threading.Thread(target=wait))
        threads[-1].start()

    yield begin
    for thread in threads:
        thread.join()
