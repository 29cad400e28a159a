"""What git knows: the present commit, and files as they were."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from edgespiral.core.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


def commit(folder: Path) -> tuple[str | None, bool | None]:
    """The commit checked out in `folder` and whether tracked files differ from it.

    (None, None) outside of a repository, without git, or before the first commit.
    """
    head = _git(folder, "rev-parse", "HEAD")
    if head is None:
        return None, None
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return head.decode().strip(), bool(changes)


def file_at(path: Path, ref: str) -> bytes | None:
    """A file's content at a git ref, None where it was not there.

    Filters apply, so that a file kept in Git LFS comes whole.

    Raises:
        UsageError: the ref does not exist, or the file is in no repository.
    """
    folder = path.parent.resolve()
    if _git(folder, "rev-parse", "--git-dir") is None:
        raise UsageError("is not in a git repository", where=str(path))
    # A ref that looks like a flag must not become one.
    commit_id = _git(
        folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}"
    )
    if commit_id is None:
        raise UsageError(
            f"git knows no commit {ref!r}",
            where="--against-ref",
            hint="a shallow clone has only the last one: fetch more, as with fetch-depth: 0",
        )
    return _git(folder, "cat-file", "--filters", f"{commit_id.decode().strip()}:./{path.name}")


def place(path: Path) -> str:
    """A file's path from the top of its repository; as given, outside of one."""
    prefix = _git(path.parent, "rev-parse", "--show-prefix")
    return path.as_posix() if prefix is None else prefix.decode().strip() + path.name


def _git(folder: Path, *words: str) -> bytes | None:
    """What a git command prints, None where it fails."""
    try:
        done = subprocess.run(  # noqa: S603 (no shell, arguments of our own)
            ["git", "-C", str(folder), *words],  # noqa: S607 (git is found as a person's is)
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None
