import hashlib
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from devices import Board, Meanwhile
from small_disk import small_disk

from edgespiral.core.errors import MeasurementError, TargetError
from edgespiral.measure.profile import TargetProfile
from edgespiral.measure.transports.base import DeviceLostError
from edgespiral.measure.transports.ssh import SshTransport


def reached(board: Board, **settings: object) -> SshTransport:
    return SshTransport(board.profile(**settings).transport)


def test_a_host_behind_another_is_reached(board: Board) -> None:
    with reached(board, host="behind") as transport:
        assert transport.run(["echo", "there"], 60).stdout == "there\n"


def test_a_cut_while_pushing_loses_nothing(
    board: Board, large: Path, meanwhile: Meanwhile, caplog: pytest.LogCaptureFixture
) -> None:
    mark = board.pause_once("sha256sum")
    with reached(board) as transport:
        meanwhile(mark.exists, board.cut)
        transport.repeated(lambda: transport.push(large, "a"))
        found = {path.name: path for path in Path(transport.folder).iterdir()}
        assert hashlib.sha256(found["a"].read_bytes()).digest() == (
            hashlib.sha256(large.read_bytes()).digest()
        )
    assert "the connection broke" in caplog.text
    assert list(board.folder.iterdir()) == []


def test_a_cut_while_fetching_loses_nothing(
    board: Board, tmp_path: Path, large: Path, meanwhile: Meanwhile
) -> None:
    goal = tmp_path / "fetched"
    goal.write_text("before")
    with reached(board) as transport:
        transport.push(large, "a")
        mark = board.pause_once("sha256sum")
        meanwhile(mark.exists, board.cut)
        with pytest.raises(DeviceLostError, match="board: the connection broke"):
            transport.pull("a", goal)
        assert goal.read_text() == "before"
        transport.repeated(lambda: transport.pull("a", goal))
    assert goal.read_bytes() == large.read_bytes()


def test_half_of_an_output_is_no_output(board: Board, tmp_path: Path, meanwhile: Meanwhile) -> None:
    count = tmp_path / "runs"
    half = f"echo run >> {count}; printf half; [ $(wc -l < {count}) = 2 ] || sleep 600; echo whole"
    with reached(board) as transport:
        meanwhile(count.exists, board.cut)
        done = transport.repeated(lambda: transport.run(["sh", "-c", half], 60))
        assert done.stdout == "halfwhole\n"
        assert board.processes("sleep") == []
    assert count.read_text() == "run\nrun\n"


def test_a_restarted_server_is_found_again(board: Board, large: Path, meanwhile: Meanwhile) -> None:
    with reached(board) as transport:
        transport.push(large, "a")
        board.stop()
        meanwhile(lambda: True, board.start)
        done = transport.repeated(lambda: transport.run(["wc", "-c", "a"], 60))
        assert done.stdout.split() == [str(large.stat().st_size), "a"]
    assert list(board.folder.iterdir()) == []


def test_a_silent_connection_is_given_up(
    board: Board, tmp_path: Path, meanwhile: Meanwhile, caplog: pytest.LogCaptureFixture
) -> None:
    count = tmp_path / "runs"
    once = f"echo run >> {count}; [ $(wc -l < {count}) = 2 ] || sleep 600; echo whole"
    with reached(board, keepalive_s=1) as transport:
        meanwhile(count.exists, board.freeze)
        done = transport.repeated(lambda: transport.run(["sh", "-c", once], 60))
        assert done.stdout == "whole\n"
        assert board.processes("sleep") == []
    assert "the connection broke" in caplog.text
    assert list(board.folder.iterdir()) == []


def test_a_device_that_stays_away_is_reported(
    board: Board, caplog: pytest.LogCaptureFixture
) -> None:
    gone = pytest.raises(DeviceLostError, match=r"cannot be reached: .*refused.* \(tried for 1 s\)")
    with gone, reached(board, retry_s=1) as transport:
        board.stop()
        transport.repeated(lambda: transport.run(["true"], 60))
    assert "may be left over" in caplog.text


def test_a_hung_command_is_ended(board: Board) -> None:
    hang = "echo waiting >&2; sleep 600 & sleep 600"
    late = pytest.raises(MeasurementError, match=r"no answer within 1 s: waiting; raise timeout_s")
    with reached(board) as transport:
        with late:
            transport.run(["sh", "-c", hang], 1)
        assert board.processes("sleep") == []
        assert transport.run(["echo", "next"], 60).stdout == "next\n"


def test_a_host_that_vanishes_leaves_nothing_running(board: Board, tmp_path: Path) -> None:
    code = f"""
import os, threading
from pathlib import Path
from edgespiral.measure.profile import load_profile
from edgespiral.measure.transports.ssh import SshTransport
with SshTransport(load_profile({str(tmp_path / "board.toml")!r}).transport) as transport:
    threading.Timer(1, os._exit, [9]).start()
    transport.run(["sleep", "600"], 60)
"""
    (tmp_path / "board.toml").write_text(toml(board.profile()))
    done = subprocess.run([sys.executable, "-c", code], timeout=60, check=False)
    assert done.returncode == 9
    for _ in range(1000):
        if not board.processes("sleep"):
            break
        time.sleep(0.01)
    assert board.processes("sleep") == []
    with reached(board) as transport:
        assert transport.run(["echo", "next"], 60).stdout == "next\n"


def toml(profile: TargetProfile) -> str:
    lines = ["schema = 1", f'name = "{profile.name}"']
    for name in ("runtime", "transport"):
        section = getattr(profile, name).model_dump(exclude_none=True)
        lines += [f"[{name}]", *(f"{key} = {value!r}" for key, value in section.items())]
    return "\n".join(lines)


def test_an_unknown_host_key_is_refused_with_what_mends_it(board: Board) -> None:
    board.known_hosts.write_text("")
    with pytest.raises(TargetError, match="host key is not known") as caught:
        reached(board).__enter__()
    assert not isinstance(caught.value, DeviceLostError)
    command = str(caught.value).rpartition("accept it once: ")[2]
    assert command == shlex.join(["ssh", "-F", str(board.config), "board"])


def test_a_changed_host_key_is_refused_with_what_mends_it(board: Board) -> None:
    with reached(board) as transport:
        board.stop()
        board.change_host_key()
        board.start()
        with pytest.raises(TargetError, match="key is not the one that is known") as caught:
            transport.repeated(lambda: transport.run(["true"], 60))
    mending = str(caught.value).partition("anew: ")[2].partition("; then")[0]
    assert mending.startswith("ssh-keygen ")
    subprocess.run(shlex.split(mending), check=True, capture_output=True)
    with pytest.raises(TargetError, match="host key is not known"):
        reached(board).__enter__()
    board.trust()
    with reached(board) as transport:
        assert transport.run(["echo", "in"], 60).stdout == "in\n"


def test_a_key_that_is_not_let_in_names_the_way(board: Board, tmp_path: Path) -> None:
    text = board.config.read_text().replace("IdentityFile", "User nobody-here\nIdentityFile")
    (tmp_path / "config").write_text(text.replace("User root", ""))
    with pytest.raises(TargetError, match=r"does not let us in: .*Permission denied.*ssh-copy-id"):
        reached(board, config=str(tmp_path / "config")).__enter__()


def test_a_full_device_is_an_error_and_keeps_what_it_had(
    board: Board, tmp_path: Path, large: Path
) -> None:
    board.stop()
    board.largest_file_bytes = 100_000
    board.start()
    (tmp_path / "small").write_text("fits")
    with reached(board) as transport:
        transport.push(tmp_path / "small", "a")
        with pytest.raises(TargetError, match=r"cannot write a: .*is there space"):
            transport.push(large, "a")
        assert [path.name for path in Path(transport.folder).iterdir() if path.name[0] != "."] == [
            "a"
        ]
        assert Path(transport.folder, "a").read_text() == "fits"


def test_a_full_file_system_is_an_error(board: Board, large: Path) -> None:
    with small_disk(board.folder, "1m"), reached(board) as transport:
        with pytest.raises(TargetError, match=r"cannot write a: .*No space left on device"):
            transport.push(large, "a")
        assert not Path(transport.folder, "a.part").exists()


def test_a_host_without_a_server_cannot_be_reached(board: Board) -> None:
    board.stop()
    with pytest.raises(DeviceLostError, match=r"board: cannot be reached: .*is it on.*try: ssh"):
        reached(board, retry_s=1).__enter__()


def test_a_host_that_is_still_starting_is_awaited(
    board: Board, meanwhile: Meanwhile, caplog: pytest.LogCaptureFixture
) -> None:
    board.stop()
    meanwhile(lambda: "trying again" in caplog.text, board.start)
    with reached(board) as transport:
        assert transport.run(["echo", "there"], 60).stdout == "there\n"


def test_a_host_name_that_nothing_has_fails_at_once(
    board: Board, caplog: pytest.LogCaptureFixture
) -> None:
    told = pytest.raises(
        DeviceLostError, match=r"board\.invalid: cannot be reached: .*resolve host"
    )
    with told as caught:
        reached(board, host="board.invalid").__enter__()
    assert "is the name right" in str(caught.value)
    assert caplog.text == ""


@pytest.mark.parametrize("last_words", ["echo session recorded", "printf recorded", "seq 50000"])
def test_what_a_shell_says_before_and_after_is_no_part_of_an_answer(
    board: Board, tmp_path: Path, last_words: str
) -> None:
    recorder = board.program(
        "recorder",
        f'echo welcome; sh -c "$SSH_ORIGINAL_COMMAND"; code=$?; {last_words}; exit $code',
    )
    board.stop()
    board.extra = f"ForceCommand {recorder}"
    board.start()
    (tmp_path / "a").write_text("content")
    with reached(board) as transport:
        transport.push(tmp_path / "a", "a")
        done = transport.run(["sh", "-c", "cat a; exit 3"], 60)
        transport.pull("a", tmp_path / "b")
    assert (done.exit_code, done.stdout) == (3, "content")
    assert (tmp_path / "b").read_text() == "content"
    assert list(board.folder.iterdir()) == []


def test_a_login_without_a_shell_is_told(board: Board) -> None:
    board.stop()
    board.extra = "ForceCommand echo no logins here; exit 1"
    board.start()
    with pytest.raises(TargetError, match="its shell ended with exit code 1: no logins") as caught:
        reached(board).__enter__()
    assert not isinstance(caught.value, DeviceLostError)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_command_that_is_ended_leaves_nothing_on_the_device(
    board: Board, tmp_path: Path, number: signal.Signals
) -> None:
    text = toml(board.profile())
    (tmp_path / "board.toml").write_text(f"{text}\n[measure]\nrounds = 40\nround_ms = 2000\n")
    command = [sys.executable, "-m", "edgespiral", "targets", "check", "board.toml"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE) as process:
        for _ in range(100 * 60):
            if board.processes("agent.py"):
                break
            time.sleep(0.01)
        process.send_signal(number)
        process.send_signal(number)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert stderr == f"stopped by {number.name}\n".encode()
    assert board.processes("") == []
    assert list(board.folder.iterdir()) == []


@pytest.mark.parametrize("answer", ["open {victim}", "open victim", "open ", "open", "opened /x"])
def test_a_device_that_names_another_folder_is_refused(
    board: Board, tmp_path: Path, answer: str
) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "precious").write_text("x")
    told = answer.format(victim=victim)
    liar = board.program("liar", f'sh -c "$SSH_ORIGINAL_COMMAND" | sed -u "s#open .*#{told}#"')
    board.stop()
    board.extra = f"ForceCommand {liar}"
    board.start()
    with pytest.raises(TargetError, match="cannot make a work folder") as caught:
        reached(board).__enter__()
    assert not isinstance(caught.value, DeviceLostError)
    assert [path.name for path in victim.iterdir()] == ["precious"]
