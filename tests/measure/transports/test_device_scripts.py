"""The scripts in this machine's own shell; test_ssh.py has them over ssh."""

import hashlib
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edgespiral.measure.transports.device_scripts import KEEP, PULL, PUSH, RUN, SWEEP


def ask(
    script: str, *arguments: object, content: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    words = ["sh", "-c", script, "edgespiral", "MARK", *map(str, arguments)]
    return subprocess.run(words, input=content, capture_output=True, timeout=60, check=False)


def keep(*arguments: object) -> subprocess.Popen[bytes]:
    words = ["sh", "-c", KEEP, "edgespiral", "MARK", *map(str, arguments)]
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def opened(keeper: subprocess.Popen[bytes]) -> Path:
    assert keeper.stdout is not None
    assert keeper.stdout.readline() == b"\n"
    return Path(keeper.stdout.readline().decode().strip().removeprefix("MARK open "))


def end(keeper: subprocess.Popen[bytes], word: bytes = b"") -> None:
    keeper.communicate(word, timeout=60)


def eventually(condition: Callable[[], bool]) -> bool:
    for _ in range(1000):
        if condition():
            return True
        time.sleep(0.01)
    return False


def test_a_kept_folder_goes_at_the_word(tmp_path: Path) -> None:
    keeper = keep(tmp_path, "", "token", 600)
    work = opened(keeper)
    assert (work.parent, work.is_dir()) == (tmp_path, True)
    end(keeper, b"end\n")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_a_host_goes_after_its_grace(tmp_path: Path) -> None:
    keeper = keep(tmp_path, "", "token", 0)
    opened(keeper)
    end(keeper)
    assert eventually(lambda: not list(tmp_path.iterdir()))


def test_a_successor_keeps_the_folder(tmp_path: Path) -> None:
    first = keep(tmp_path, "", "first", 0)
    work = opened(first)
    second = keep(tmp_path, work, "second", 600)
    assert opened(second) == work
    busy = subprocess.Popen(["sleep", "60"], cwd=work)
    end(first)
    time.sleep(0.3)
    assert (work.is_dir(), busy.poll()) == (True, None)
    end(second, b"end\n")
    assert busy.wait(60) == -9
    assert list(tmp_path.iterdir()) == []


def test_a_lost_folder_is_made_again(tmp_path: Path) -> None:
    keeper = keep(tmp_path, tmp_path / "lost", "token", 600)
    assert opened(keeper) == tmp_path / "lost"
    end(keeper, b"end\n")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    keeper = keep(tmp_path / "nowhere", "", "token", 600)
    told, _ = keeper.communicate(timeout=60)
    assert (told, keeper.returncode) == (b"\nMARK failed\n", 1)


def test_damaged_content_takes_no_place(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("before")
    done = ask(PUSH, tmp_path, "a", hashlib.sha256(b"sent").hexdigest(), content=b"arrived")
    assert done.stdout == b"MARK\n\nMARK damaged\n"
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a", "before")]
    done = ask(PUSH, tmp_path, "in/a", hashlib.sha256(b"sent").hexdigest(), content=b"sent")
    assert done.stdout == b"MARK\n\nMARK written\n"
    assert (tmp_path / "in/a").read_bytes() == b"sent"


def test_content_comes_after_its_hash(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\n\0x")
    digest = hashlib.sha256(b"\n\0x").hexdigest().encode()
    assert ask(PULL, tmp_path, "a").stdout == b"MARK\n" + digest + b"\n\n\0x\nMARK read\n"
    assert ask(PULL, tmp_path, "b").stdout == b"MARK\n\nMARK failed\n"


def test_a_command_ends_with_its_input(tmp_path: Path) -> None:
    words = ["sh", "-c", RUN, "edgespiral", "MARK", str(tmp_path), "sleep", "600"]
    running = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with pytest.raises(subprocess.TimeoutExpired):
        running.wait(0.3)
    told, _ = running.communicate(timeout=60)
    assert told == b"MARK\n\nMARK exit 137\n"


@pytest.mark.parametrize("script", [PUSH, PULL, RUN, SWEEP])
def test_a_lost_folder_is_told(tmp_path: Path, script: str) -> None:
    assert ask(script, tmp_path / "gone", "a").stdout == b"MARK\n\nMARK folder-lost\n"


def test_a_sweep_ends_what_runs_there_and_nothing_else(tmp_path: Path) -> None:
    inside, beside = tmp_path / "work", tmp_path / "work-of-others"
    inside.mkdir()
    beside.mkdir()
    mine, other = (subprocess.Popen(["sleep", "60"], cwd=place) for place in (inside, beside))
    assert ask(SWEEP, inside).stdout == b"MARK\n\nMARK swept\n"
    assert mine.wait(60) == -9
    assert other.poll() is None
    other.kill()
    other.wait()
