import hashlib
import os
import resource
import stat
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from small_disk import small_disk

from edgespiral.core.errors import RunFolderError, UsageError
from edgespiral.core.system.files import (
    emptied,
    make_folder,
    parse_json,
    read_bytes,
    read_text,
    replacing,
    require_room,
    sha256_file,
    user_cache,
    write_page,
    write_text,
    writing,
)


def test_text_is_written_whole_and_nothing_else_is_left(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "grün")
    write_text(tmp_path / "a.txt", "blau")
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "blau"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def write_half(path: Path) -> None:
    with replacing(path) as temporary:
        temporary.write_text("ne")
        raise ValueError("half way")


def test_a_failure_half_way_keeps_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(ValueError, match="half way"):
        write_half(path)
    assert path.read_text() == "old"
    assert [left.name for left in tmp_path.iterdir()] == ["a.txt"]


def test_a_full_disk_is_one_clear_error_and_keeps_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, unlimited[1]))
    try:
        with pytest.raises(RunFolderError, match=r"a\.txt: cannot write: File too large; check"):
            write_text(path, "new" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    assert path.read_text() == "old"


def test_a_full_disk_is_told_whatever_a_writer_makes_of_it(tmp_path: Path) -> None:
    told = r"a\.bin: cannot write: No space left on device; make room there.* --resume goes on"
    with small_disk(make_folder(tmp_path / "disk"), "64k") as disk:
        with pytest.raises(RuntimeError, match="of another cause"), writing(disk / "a.bin"):
            raise RuntimeError("of another cause")
        with pytest.raises(RunFolderError, match=told), replacing(disk / "a.bin") as temporary:
            save_file({"w": np.zeros(2**18)}, temporary)
        require_room(disk)
        with suppress(OSError):
            (disk / "filler").write_bytes(bytes(2**17))
        with pytest.raises(RunFolderError, match="disk: cannot write: No space left on device"):
            require_room(disk)


def test_a_missing_folder_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="cannot write: No such file"):
        write_text(tmp_path / "none" / "a.txt", "")


def test_a_file_in_the_way_of_a_folder_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(RunFolderError, match="cannot create the folder"):
        make_folder(tmp_path / "a" / "b")
    assert make_folder(tmp_path / "c" / "d").is_dir()


@pytest.mark.parametrize(("umask", "mode"), [(0o077, 0o600), (0o022, 0o644), (0o002, 0o664)])
def test_a_file_has_the_rights_that_the_umask_leaves(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        write_text(tmp_path / "a.txt", "")
    finally:
        os.umask(before)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == mode


def test_hashes_are_of_the_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_file(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()


def test_the_users_cache_is_where_the_system_says(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert user_cache("ranges") == tmp_path / "edgespiral" / "ranges"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert user_cache("ranges") == Path.home() / ".cache" / "edgespiral" / "ranges"


def test_the_umask_decides_who_may_read_what_is_written(tmp_path):
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "a.txt", "text")
    finally:
        os.umask(before)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("kind", ["link", "loose link", "folder", "pipe", "device"])
def test_what_is_no_plain_file_is_neither_replaced_nor_written_through(tmp_path, kind):
    goal, victim = tmp_path / "goal", tmp_path / "victim"
    victim.write_text("precious")
    match kind:
        case "link":
            goal.symlink_to(victim)
        case "loose link":
            goal.symlink_to(tmp_path / "nowhere")
        case "folder":
            goal.mkdir()
        case "pipe":
            os.mkfifo(goal)
        case "device":
            if os.geteuid() != 0:
                pytest.skip("making a device takes root")
            os.mknod(goal, stat.S_IFCHR | 0o600, os.makedev(1, 7))
    before = goal.lstat()
    with pytest.raises(RunFolderError, match=r"goal: cannot write: .* in its place"):
        write_text(goal, "text")
    assert goal.lstat() == before
    assert victim.read_text() == "precious"
    assert {path.name for path in tmp_path.iterdir()} == {"goal", "victim"}


def open_elsewhere(goal, elsewhere):
    with replacing(goal):
        elsewhere.open()


def test_an_error_of_another_file_is_not_told_as_one_of_this(tmp_path):
    with pytest.raises(FileNotFoundError):
        open_elsewhere(tmp_path / "a.txt", tmp_path / "other" / "b.txt")
    assert list(tmp_path.iterdir()) == []


def test_a_long_name_is_written(tmp_path):
    name = "ä" * 127
    write_text(tmp_path / name, "text")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def unreadable(path, most_bytes=10):
    with pytest.raises(OSError, match=r".") as caught:
        read_bytes(path, most_bytes)
    return caught.value.strerror


def test_only_regular_files_up_to_a_limit_are_read(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(bytes(10))
    assert read_bytes(path, 10) == bytes(10)
    path.write_bytes(bytes(11))
    assert unreadable(path) == "longer than 1e-05 MB"
    os.mkfifo(tmp_path / "pipe")
    assert unreadable(tmp_path / "pipe") == "not a regular file"
    assert unreadable(Path("/dev/zero")) == "not a regular file"
    assert unreadable(tmp_path) == "Is a directory"
    assert unreadable(tmp_path / "none") == "No such file or directory"
    assert unreadable(Path("a\0b")) == "not a file's name"


def test_a_byte_order_mark_is_not_text(tmp_path):
    (tmp_path / "a").write_bytes(b"\xef\xbb\xbftext")
    assert read_text(tmp_path / "a") == "text"


@pytest.mark.parametrize("text", ["[" * 100_000, "9" * 5000, "{", b"\xff"])
def test_what_is_no_json_of_a_sensible_size_is_a_value_error(text):
    with pytest.raises(ValueError, match=r"."):
        parse_json(text)


def test_a_page_takes_the_place_of_nothing_but_a_page(tmp_path):
    page, journal = tmp_path / "new" / "page.html", tmp_path / "journal.jsonl"
    for text in ("<!doctype html>\none", "<!DOCTYPE html>\ntwo"):
        write_page(page, text)
        assert page.read_text() == text
    journal.write_text("{}\n")
    with pytest.raises(UsageError, match=r"journal\.jsonl: is there already, and is no page"):
        write_page(journal, "<!doctype html>")
    assert journal.read_text() == "{}\n"


def test_a_growing_file_is_emptied_first_and_is_a_plain_one(tmp_path):
    log, own = tmp_path / "run.log", tmp_path / "own.txt"
    log.write_text("of the run before")
    with emptied(log) as stream:
        stream.write(b"new")
    assert log.read_text() == "new"
    own.write_text("somebody's own")
    (tmp_path / "link.log").symlink_to(own)
    with (
        pytest.raises(RunFolderError, match="a link is in its place"),
        emptied(tmp_path / "link.log"),
    ):
        pass
    assert own.read_text() == "somebody's own"
