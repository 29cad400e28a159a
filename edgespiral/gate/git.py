"""What git knows: the present commit, and files as they were."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from edgespiral.core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

# How the mode begins that git has of a file, and of a link.
FILE, LINK = b"100", b"120000"
# As many as Linux follows.
MOST_LINKS = 40


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

    Its folder need not be there any more; links are followed as they were then. Filters apply, so
    that a file kept in Git LFS comes whole.

    Raises:
        UsageError: the ref does not exist, or the file is in no repository.
    """
    folder = next(parent for parent in path.absolute().parents if parent.is_dir())
    shown = _git(folder, "rev-parse", "--show-toplevel")
    if shown is None:
        raise UsageError("is not in a git repository", where=str(path))
    top = Path(os.fsdecode(shown).removesuffix("\n"))
    commit_id = commit_at(folder, ref)
    if commit_id is None:
        raise UsageError(
            f"git knows no commit {ref!r}",
            where="--against-ref",
            hint="a shallow clone has only the last one: fetch more, as with fetch-depth: 0",
        )
    # A folder that is a link now may have been another then, or not in git at all.
    for name in (Path(os.path.normpath(path.absolute())), Path(os.path.realpath(path))):
        if name.is_relative_to(top):
            place_then = _followed(top, commit_id, name.relative_to(top).parts)
            if place_then is not None:
                return _git(top, "cat-file", "--filters", f"{commit_id}:{place_then}")
    return None


def commit_at(folder: Path, ref: str) -> str | None:
    """The commit that a ref names in the repository of `folder`; None where it names none."""
    # A ref that looks like a flag must not become one.
    shown = _git(
        folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}"
    )
    return None if shown is None else shown.decode().strip()


def _followed(top: Path, commit_id: str, parts: Sequence[str]) -> str | None:
    """Where a commit has the file of a path, its links followed; None where it has none."""
    ahead, behind, links, entry = list(reversed(parts)), list[str](), 0, b""
    while ahead:
        part = ahead.pop()
        if part == "..":
            if not behind:
                return None
            behind.pop()
            continue
        name = "/".join((*behind, part))
        entry = _git(top, "ls-tree", "-z", commit_id, name) or b""
        if entry.startswith(LINK):
            text = _git(top, "cat-file", "blob", f"{commit_id}:{name}")
            target = PurePosixPath(os.fsdecode(text or b"/"))
            links += 1
            if target.is_absolute() or links > MOST_LINKS:
                return None
            ahead += reversed(target.parts)
        elif entry:
            behind.append(part)
        else:
            return None
    return "/".join(behind) if entry.startswith(FILE) else None


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
