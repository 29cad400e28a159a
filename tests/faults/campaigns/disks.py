"""Full, small and read-only disks, and streams that take nothing."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.faults import sandbox
from tests.faults.campaign import Lab, Report
from tests.faults.forkserver import Limits
from tests.faults.invariants import appended, judge, published

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from tests.faults.material import Material
    from tests.faults.place import Place

SECONDS = 240
OUT = ("--out", "out/m.onnx")
COMPRESS = ("compress", "--config", "plan.toml", "--out", "out", "--resume")
TRAIN = ("train", "net.py:make", "--data", "digits", "--epochs", "0.5", "--out", "out", "--resume")
WEIGHTS = ("--weights", "weights.safetensors")
COMMANDS: tuple[tuple[str, ...], ...] = (
    *(COMPRESS, COMPRESS, COMPRESS, TRAIN, TRAIN),
    ("export", "net.py:make", "--data", "digits", *WEIGHTS, *OUT),
    ("calibrate", "net.onnx", "--data", "digits", "--recipe", "few.toml", *OUT),
    ("measure", "net.onnx", "--target", "./tiny.toml"),
    ("bench", "run", "suite.toml", "--out", "out/r.json", "--report", "junit=out/r.xml"),
    ("bench", "save", "base", "suite.toml", "--store", "out"),
    ("report", "run", "--html", "out/r.html"),
    ("report", "run"),
    ("report", "run", "--json"),
    ("targets", "list"),
    ("validate", "plan.toml"),
)
RESULTS = {0, 11, 12}


@dataclass
class Trouble:
    """What is wrong with the disks of one command.

    Attributes:
        file_bytes: the largest file that can be written.
        ends: what makes all well again.
    """

    name: str
    ends: Callable[[], object] = lambda: None
    file_bytes: int | None = None


class Disks:
    """Disks that are full or may not be written to."""

    name, short, whole = "disks", 5, 180

    def run(self, lab: Lab, number: int, random: Random) -> Report:
        """Run one command on a troubled disk, and then, if it goes on, on a sound one."""
        place = lab.material.place(f"{self.name}/{number}")
        argv = random.choice(COMMANDS)
        _furnish(lab.material, place, argv)
        (place.cwd / "out").mkdir()
        trouble = random.choice(TROUBLES)(place, random)
        limits = Limits(SECONDS)
        if trouble.file_bytes is not None:
            limits = Limits(SECONDS, file_bytes=trouble.file_bytes)
        before = place.tree(_is_out(place))
        outcome = lab.server.run(argv, place, limits)
        broken = judge(outcome, place, before, place.tree(_is_out(place)))
        journal = place.cwd / "out" / "journal.jsonl"
        written = journal.read_bytes() if journal.is_file() else b""
        trouble.ends()
        if argv[0] in ("compress", "train") and not broken:
            again = lab.server.run(argv, place, Limits(SECONDS))
            broken += judge(again, place, before, place.tree(_is_out(place)), RESULTS)
            if argv[0] == "compress" and again.exit_code in RESULTS:
                broken += appended(written, journal.read_bytes())
                broken += published(place.cwd / "out")
        place.remove()
        return Report(f"{argv[0]}: {trouble.name}", f"edgespiral {' '.join(argv)}", broken)


def _furnish(material: Material, place: Place, argv: tuple[str, ...]) -> None:
    if argv[0] == "report":
        shutil.copytree(material.run, place.cwd / "run")


def _is_out(place: Place) -> Callable[[Path], bool]:
    out = place.cwd / "out"
    return lambda path: path == out or out in path.parents


def _small_files(_: Place, random: Random) -> Trouble:
    """No file can be larger than a limit, which is what a quota is like."""
    limit = int(2 ** random.uniform(0, 19))
    return Trouble("files of a limited size", file_bytes=limit)


def _full(folder: Path, room: int) -> Callable[[], object]:
    """Put a folder on the small disk with so many bytes left there; what frees it."""
    disk = sandbox.small_disk()
    for path in disk.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    real = disk / "folder"
    real.mkdir()
    folder.rmdir()
    folder.symlink_to(real)
    filler = disk / "filler"
    free = os.statvfs(disk)
    with filler.open("wb") as stream:
        os.posix_fallocate(stream.fileno(), 0, max(1, free.f_bavail * free.f_frsize - room))
    return filler.unlink


def _room(random: Random) -> int:
    return int(2 ** random.uniform(12, 21))


def _full_out(place: Place, random: Random) -> Trouble:
    return Trouble("a full run folder", _full(place.cwd / "out", _room(random)))


def _full_temporary(place: Place, random: Random) -> Trouble:
    return Trouble("a full TMPDIR", _full(place.temporary, _room(random)))


def _full_cache(place: Place, random: Random) -> Trouble:
    return Trouble("a full cache", _full(place.cache, _room(random)))


def _read_only(folder: Path, name: str) -> Trouble:
    folder.chmod(0o555)
    return Trouble(name, lambda: folder.chmod(0o755))


def _read_only_out(place: Place, _: Random) -> Trouble:
    return _read_only(place.cwd / "out", "a read-only run folder")


def _read_only_temporary(place: Place, _: Random) -> Trouble:
    return _read_only(place.temporary, "a read-only TMPDIR")


def _read_only_cache(place: Place, _: Random) -> Trouble:
    return _read_only(place.cache, "a read-only cache")


def _read_only_home(place: Place, _: Random) -> Trouble:
    place.cache.rmdir()
    place.cache = place.home / ".cache"
    return _read_only(place.home, "a read-only home")


def _no_temporary(place: Place, _: Random) -> Trouble:
    place.temporary.rmdir()
    return Trouble("no TMPDIR", place.temporary.mkdir)


def _full_stdout(place: Place, _: Random) -> Trouble:
    kept, place.stdout = place.stdout, Path("/dev/full")
    return Trouble("stdout is full", lambda: setattr(place, "stdout", kept))


def _full_stderr(place: Place, _: Random) -> Trouble:
    kept, place.stderr = place.stderr, Path("/dev/full")
    return Trouble("stderr is full", lambda: setattr(place, "stderr", kept))


def _file_for_out(place: Place, _: Random) -> Trouble:
    out = place.cwd / "out"
    out.rmdir()
    out.write_text("precious\n")

    def ends() -> None:
        out.unlink()
        out.mkdir()

    return Trouble("a file in the run folder's place", ends)


TROUBLES = (
    *(_small_files, _small_files, _full_out, _full_out, _full_temporary, _full_temporary),
    *(_full_cache, _read_only_out, _read_only_temporary, _read_only_cache, _read_only_home),
    *(_no_temporary, _full_stdout, _full_stderr, _file_for_out),
)
