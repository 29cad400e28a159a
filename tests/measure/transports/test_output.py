import subprocess
import time

import pytest

from edgespiral.core.errors import MeasurementError
from edgespiral.measure.transports import output
from edgespiral.measure.transports.output import check_size, collected


def begun(script: str) -> "subprocess.Popen[bytes]":
    pipe = subprocess.PIPE
    return subprocess.Popen(
        ["sh", "-c", script], stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe
    )


def test_both_outputs_are_whole() -> None:
    with begun("seq 100000; seq 100000 >&2; exit 3") as process:
        stdout, stderr = collected(process, 60)
    assert stdout == stderr == "".join(f"{n}\n" for n in range(1, 100_001)).encode()
    assert process.returncode == 3


def test_what_is_late_is_told_with_its_last_words() -> None:
    with begun("echo waiting >&2; exec sleep 600") as process:
        with pytest.raises(subprocess.TimeoutExpired) as caught:
            collected(process, 0.5)
        process.kill()
    assert caught.value.stderr == b"waiting\n"


def test_what_closes_its_outputs_and_goes_on_is_late_too() -> None:
    with begun("exec >/dev/null 2>&1; exec sleep 600") as process:
        with pytest.raises(subprocess.TimeoutExpired):
            collected(process, 0.5)
        process.kill()


def test_what_never_ends_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    start_s = time.monotonic()
    with begun("exec cat /dev/zero") as process:
        with pytest.raises(MeasurementError, match="it says more than 1 MiB"):
            collected(process, 600, 1 << 20)
        process.kill()
    assert time.monotonic() - start_s < 300
    assert output.MOST_BYTES > 100_000_000


def test_a_size_is_held_to_its_own_limit() -> None:
    check_size(1 << 32, output.MOST_FILE_BYTES)
    with pytest.raises(MeasurementError, match="it says more than 8192 MiB"):
        check_size(output.MOST_FILE_BYTES + 1, output.MOST_FILE_BYTES)
