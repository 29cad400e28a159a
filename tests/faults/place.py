"""Where one fault happens: a home, a working folder, a TMPDIR and a cache of its own."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.faults import sandbox

if TYPE_CHECKING:
    from collections.abc import Callable

# The product is told about nothing but these.
INHERITED = ("PATH", "LANG", "LC_ALL", "VIRTUAL_ENV")
# PyTorch's cache of compiled code, which it makes when it is imported.
TORCHS_OWN = "torchinductor_"
Tree = dict[str, str]


@dataclass
class Place:
    """A fault's folders.

    Attributes:
        cwd: where the command runs; input files lie in it.
        stdout, stderr: files, or devices, that the streams go to.
        temporary: the command's TMPDIR.
        cache: where the command keeps what it may need again.
    """

    root: Path
    stdout: Path
    stderr: Path
    temporary: Path
    cache: Path

    @classmethod
    def make(cls, name: str) -> Place:
        """An empty place of this name, in the scratch."""
        root = sandbox.scratch() / "places" / name.replace("/", "-")
        remove(root)
        for folder in ("cwd", "home", "tmp", "cache"):
            (root / folder).mkdir(parents=True)
        (root / "home" / "precious").write_text("precious\n")
        (root / "home" / "precious").chmod(0o600)
        streams = (root / "stdout", root / "stderr")
        return cls(root, *streams, root / "tmp", root / "cache")

    def copied(self, name: str) -> Place:
        """A place of this name whose working folder and cache are as they are here."""
        other = Place.make(name)
        for mine, copy in ((self.cwd, other.cwd), (self.cache, other.cache)):
            shutil.copytree(mine, copy, symlinks=True, dirs_exist_ok=True)
        return other

    @property
    def cwd(self) -> Path:
        """Where the command runs."""
        return self.root / "cwd"

    @property
    def ready(self) -> Path:
        """Is there as soon as the product's own code begins."""
        return self.root / "ready"

    @property
    def home(self) -> Path:
        """The user's home, with a file that nobody may touch."""
        return self.root / "home"

    @property
    def environment(self) -> dict[str, str]:
        """All that the command finds in its environment."""
        own = {
            "HOME": str(self.home),
            "TMPDIR": str(self.temporary),
            "XDG_CACHE_HOME": str(self.cache),
            "OMP_NUM_THREADS": "1",
            "OMP_WAIT_POLICY": "PASSIVE",
            "COLUMNS": "120",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        return {name: os.environ[name] for name in INHERITED if name in os.environ} | own

    def tree(self, but: Callable[[Path], bool] = lambda _: False) -> Tree:
        """What home and working folder hold, but for what may change: a line for each path."""
        return {
            str(path.relative_to(self.root)): _described(path)
            for top in (self.home, self.cwd)
            for path in sorted(top.rglob("*"))
            if not but(path)
        }

    def left_in_temporary(self) -> list[str]:
        """What is still in TMPDIR, but for the traceback that an internal error names."""
        if not self.temporary.is_dir():
            return []
        names = sorted(path.name for path in self.temporary.iterdir())
        return [name for name in names if not name.endswith(".log") and TORCHS_OWN not in name]

    def remove(self) -> None:
        """Remove all of it."""
        remove(self.root)


def remove(folder: Path) -> None:
    """Remove a folder of the scratch, whatever its permissions are.

    Raises:
        ValueError: it lies elsewhere.
    """
    if not folder.is_relative_to(sandbox.scratch()):
        raise ValueError(f"{folder} is not in the scratch")
    for below, folders, _ in os.walk(folder):
        for name in folders:
            path = Path(below, name)
            if not path.is_symlink():
                path.chmod(0o755)
    shutil.rmtree(folder, ignore_errors=True)


def _described(path: Path) -> str:
    about = path.lstat()
    kind, mode = stat.S_IFMT(about.st_mode), stat.S_IMODE(about.st_mode)
    if stat.S_ISLNK(about.st_mode):
        return f"link to {path.readlink()}"
    if not stat.S_ISREG(about.st_mode):
        return f"{kind:o} {mode:o}"
    # Large files are sparse ones that a fault made; reading them would take longer than the fault.
    content = path.read_bytes() if mode & 0o400 and about.st_size < 1 << 26 else b""
    return f"{about.st_size} {mode:o} {hashlib.sha256(content).hexdigest()}"
