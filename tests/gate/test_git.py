import subprocess
from pathlib import Path

import pytest

from edgespiral.core.errors import UsageError
from edgespiral.gate.git import commit, file_at, place


def git(folder: Path, *words: str) -> str:
    identity = ("-c", "user.name=T", "-c", "user.email=t@example.org")
    command = ["git", "-C", str(folder), *identity, *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "file").write_bytes(b"old\x00")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    return tmp_path


def test_the_commit_and_its_changes_are_told(repository: Path) -> None:
    head = git(repository, "rev-parse", "HEAD")
    (repository / "untracked").touch()
    assert commit(repository) == (head, False)
    (repository / "sub" / "file").write_bytes(b"new")
    assert commit(repository / "sub") == (head, True)


def test_outside_of_a_repository_there_is_no_commit(tmp_path: Path) -> None:
    assert commit(tmp_path) == (None, None)
    with pytest.raises(UsageError, match="is not in a git repository"):
        file_at(tmp_path / "file", "HEAD")


def test_a_file_comes_as_it_was(repository: Path) -> None:
    file = repository / "sub" / "file"
    file.write_bytes(b"new")
    assert file_at(file, "HEAD") == b"old\x00"
    git(repository, "commit", "-qam", "second")
    assert (file_at(file, "HEAD"), file_at(file, "HEAD~1")) == (b"new", b"old\x00")
    assert file_at(repository / "sub" / "other", "HEAD") is None


def test_a_file_comes_from_a_folder_that_is_gone(repository: Path) -> None:
    (repository / "sub" / "file").unlink()
    (repository / "sub").rmdir()
    assert file_at(repository / "sub" / "file", "HEAD") == b"old\x00"
    assert file_at(repository / "sub", "HEAD") is None


def test_links_are_followed_as_they_were(repository: Path, tmp_path: Path) -> None:
    (repository / "other").mkdir()
    (repository / "other" / "file").write_bytes(b"other")
    for name, target in (
        ("sub/link", "file"),
        ("latest", "sub"),
        ("loop", "loop"),
        ("gone", "sub/nothing"),
        ("out", "../sub/file"),
        ("absolute", str(tmp_path / "sub" / "file")),
    ):
        (repository / name).symlink_to(target)
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "links")
    (repository / "latest").unlink()
    (repository / "latest").symlink_to("other")
    (repository / "untracked").symlink_to("sub")
    found = {
        name: file_at(repository / name, "HEAD")
        for name in ("sub/link", "latest/link", "latest/file", "untracked/link", "gone", "out")
    }
    old = b"old\x00"
    assert list(found.values()) == [old, old, old, old, None, None]
    assert file_at(repository / "loop" / "file", "HEAD") is None


def test_filters_apply_as_in_a_checkout(repository: Path) -> None:
    # What Git LFS does, with a filter that every machine has.
    (repository / ".gitattributes").write_text("file filter=upper\n")
    git(repository, "config", "filter.upper.smudge", "tr a-z A-Z")
    assert file_at(repository / "sub" / "file", "HEAD") == b"OLD\x00"


@pytest.mark.parametrize("ref", ["nowhere", "--help", ""])
def test_an_unknown_ref_is_an_error(repository: Path, ref: str) -> None:
    with pytest.raises(UsageError, match="--against-ref: git knows no commit"):
        file_at(repository / "sub" / "file", ref)


def test_a_place_is_told_from_the_top_of_the_repository(
    repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert place(repository / "sub" / "file") == "sub/file"
    assert place(repository / "sub" / ".." / "sub" / "new") == "sub/new"
    outside = tmp_path_factory.mktemp("outside") / "file"
    assert place(outside) == outside.as_posix()
