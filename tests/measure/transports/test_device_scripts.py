"""The scripts in this machine's own shell; test_ssh.py has them over ssh."""

import hashlib
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edgespiral.measure.transports.device_scripts import (
    BELONGS_TO,
    KEEP,
    PULL,
    PUSH,
    RUN,
    SWEEP,
    Reply,
    ask_command,
    marked_reply,
)


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
    busy = subprocess.Popen(["sleep", "60"], env=belonging_to(work))
    end(first)
    time.sleep(0.3)
    assert (work.is_dir(), busy.poll()) == (True, None)
    end(second, b"end\n")
    assert busy.wait(60) == -9
    assert list(tmp_path.iterdir()) == []


def test_a_lost_folder_is_made_again(tmp_path: Path) -> None:
    lost = tmp_path / "edgespiral-lost"
    keeper = keep(tmp_path, lost, "token", 600)
    assert opened(keeper) == lost
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


def test_onnx_runtime_is_told_to_keep_to_itself(tmp_path: Path) -> None:
    words = ["sh", "-c", RUN, "edgespiral", "MARK", str(tmp_path), "sh", "-c"]
    with subprocess.Popen(
        [*words, "echo $ORT_DISABLE_TELEMETRY $TMPDIR"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readlines()[1] == f"1 {tmp_path}\n".encode()


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


def belonging_to(work: Path) -> dict[str, str]:
    return {**os.environ, BELONGS_TO: f"[{work.name}]"}


def test_a_sweep_ends_what_was_started_for_the_folder_and_nothing_else(tmp_path: Path) -> None:
    work = tmp_path / "edgespiral-1"
    work.mkdir()
    mine = subprocess.Popen(["sleep", "60"], env=belonging_to(work), cwd=tmp_path)
    others = [
        # Someone who looks around there, and what belongs to a folder of a longer name.
        subprocess.Popen(["sleep", "60"], cwd=work),
        subprocess.Popen(["sleep", "60"], env=belonging_to(Path("edgespiral-12"))),
    ]
    assert ask(SWEEP, work).stdout == b"MARK\n\nMARK swept\n"
    assert mine.wait(60) == -9
    assert [other.poll() for other in others] == [None, None]
    for other in others:
        other.kill()
        other.wait()


def test_a_script_that_hangs_is_swept_with_all_that_it_started(tmp_path: Path) -> None:
    work = tmp_path / "edgespiral-1"
    work.mkdir()
    command = ask_command(RUN, "MARK", str(work), "sh", "-c", "echo begun; sleep 600")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as hanging:
        assert hanging.stdout is not None
        assert hanging.stdout.readline() + hanging.stdout.readline() == b"MARK\nbegun\n"
        sweeping = ask_command(SWEEP, "MARK", str(work))
        done = subprocess.run(sweeping, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
        assert done.stdout == b"MARK\n\nMARK swept\n"
        assert hanging.wait(60) == -9
        assert hanging.stdout.read() == b""


def victim(tmp_path: Path) -> Path:
    folder = tmp_path / "victim"
    folder.mkdir()
    (folder / "precious").write_text("x")
    return folder


@pytest.mark.parametrize(
    ("tool", "answer"),
    [
        ("mktemp", "echo {victim}"),
        ("mkdir", "exec /bin/ln -s {victim} $1"),
        ("mkdir", "/bin/mkdir $1; echo x > $1/theirs"),
        ("mkdir", "exit 0"),
    ],
)
def test_a_folder_of_others_is_never_taken_for_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tool: str, answer: str
) -> None:
    bin_folder, base = tmp_path / "bin", tmp_path / "base"
    bin_folder.mkdir()
    base.mkdir()
    (bin_folder / tool).write_text(f"#!/bin/sh\n{answer.format(victim=victim(tmp_path))}\n")
    (bin_folder / tool).chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_folder}:{os.environ['PATH']}")
    told, _ = keep(base, "", "token", 600).communicate(b"end\n", timeout=60)
    assert ("MARK failed" in told.decode()) == (tool == "mkdir")
    assert [path.name for path in (tmp_path / "victim").iterdir()] == ["precious"]


def test_a_named_folder_that_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    theirs = tmp_path / "edgespiral-theirs"
    theirs.mkdir()
    (theirs / "precious").write_text("x")
    (tmp_path / "edgespiral-link").symlink_to(theirs)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for work in (
        theirs,
        tmp_path / "edgespiral-link",
        victim(tmp_path),
        elsewhere / "edgespiral-1",
    ):
        told, _ = keep(tmp_path, work, "token", 600).communicate(b"end\n", timeout=60)
        assert told == b"\nMARK failed\n"
    assert [path.name for path in theirs.iterdir()] == ["precious"]
    assert [path.name for path in (tmp_path / "victim").iterdir()] == ["precious"]


@pytest.mark.parametrize("grace", [0, 600])
def test_a_folder_that_was_exchanged_meanwhile_is_not_removed(tmp_path: Path, grace: int) -> None:
    keeper = keep(tmp_path, "", "token", grace)
    work = opened(keeper)
    work.rename(tmp_path / "ours")
    work.symlink_to(victim(tmp_path))
    end(keeper, b"" if grace == 0 else b"end\n")
    time.sleep(0.3)
    assert (tmp_path / "victim/precious").read_text() == "x"


def test_content_is_not_written_through_a_link(tmp_path: Path) -> None:
    work, sent = tmp_path / "edgespiral-1", hashlib.sha256(b"sent").hexdigest()
    work.mkdir()
    (work / "in").symlink_to(victim(tmp_path))
    (work / "a.part").symlink_to(tmp_path / "victim/precious")
    assert b"MARK failed" in ask(PUSH, work, "in/precious", sent, content=b"sent").stdout
    assert b"MARK written" in ask(PUSH, work, "a", sent, content=b"sent").stdout
    assert (work / "a").read_bytes() == b"sent"
    assert (tmp_path / "victim/precious").read_text() == "x"


@pytest.mark.parametrize("after", [b"", b"session recorded\n", b"recorded", b"\nMARK failed\n\n"])
def test_an_answer_ends_at_its_own_mark(after: bytes) -> None:
    reply = marked_reply(b"welcome\nMARK\nbody\nMARK exit 0\n" + after, "", "MARK")
    assert reply == Reply("exit 0", b"body", "")


@pytest.mark.parametrize(
    "torn", [b"MARK\nbody", b"MARK\nbody\nMARK exit 1", b"body\nMARK exit 0\n"]
)
def test_an_answer_without_one_of_its_marks_is_none(torn: bytes) -> None:
    assert marked_reply(torn, "", "MARK") is None
