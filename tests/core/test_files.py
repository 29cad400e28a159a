import hashlib
import resource
from pathlib import Path

import pytest

from edgespiral.core.errors import RunFolderError
from edgespiral.core.files import make_folder, replacing, sha256_file, user_cache, write_text


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


def test_a_missing_folder_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="cannot write: No such file"):
        write_text(tmp_path / "none" / "a.txt", "")


def test_a_file_in_the_way_of_a_folder_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(RunFolderError, match="cannot create the folder"):
        make_folder(tmp_path / "a" / "b")
    assert make_folder(tmp_path / "c" / "d").is_dir()


def test_hashes_are_of_the_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_file(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()


def test_the_users_cache_is_where_the_system_says(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert user_cache("ranges") == tmp_path / "edgespiral" / "ranges"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert user_cache("ranges") == Path.home() / ".cache" / "edgespiral" / "ranges"
