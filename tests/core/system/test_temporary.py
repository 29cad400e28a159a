import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgespiral.core.errors import RunFolderError
from edgespiral.core.system import temporary
from edgespiral.core.system.temporary import (
    MARKER,
    PART,
    PREFIX,
    claim_folder,
    part_of,
    remove_claimed,
    remove_dead_below,
    work_folder,
)

HOLD = """
import sys, time
from pathlib import Path
from edgespiral.core.system.temporary import part_of, work_folder
place = Path(sys.argv[1])
with work_folder(place) as folder, part_of(place / "model.onnx") as part:
    (folder / "inside").write_text("x")
    part.write_text("half")
    print("ready", flush=True)
    time.sleep(600)
"""


@pytest.fixture(autouse=True)
def _first_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process of its own."""
    monkeypatch.setattr(temporary, "_swept", set())


def holding(place: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLD, str(place)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def names(place: Path) -> list[str]:
    return sorted(path.name for path in place.iterdir())


def test_a_folder_is_private_and_goes_with_its_context(tmp_path: Path) -> None:
    with work_folder(tmp_path) as folder:
        assert (folder.parent, folder.stat().st_mode & 0o777) == (tmp_path, 0o700)
        assert folder.name.startswith(PREFIX)
    assert names(tmp_path) == []


def test_what_a_dead_process_left_goes_with_the_next_start(tmp_path: Path) -> None:
    with holding(tmp_path) as process:
        process.kill()
    assert len(names(tmp_path)) == 2
    with work_folder(tmp_path) as folder:
        assert names(tmp_path) == [folder.name]


def test_what_a_living_process_has_stays(tmp_path: Path) -> None:
    with holding(tmp_path) as process:
        mine = names(tmp_path)
        with work_folder(tmp_path) as folder, part_of(tmp_path / "b") as part:
            assert names(tmp_path) == sorted([*mine, folder.name, part.name])
        assert names(tmp_path) == mine
        process.kill()


def test_what_is_not_ours_stays(tmp_path: Path) -> None:
    place, elsewhere = tmp_path / "place", tmp_path / "elsewhere"
    for folder in (place, elsewhere, place / f"{PREFIX}unmarked", place / f"{PREFIX}linked"):
        folder.mkdir()
    (elsewhere / MARKER).touch()
    (place / f"{PREFIX}unmarked" / "precious").touch()
    # Links to a folder and to a file that look like a dead process's.
    (place / f"{PREFIX}link").symlink_to(elsewhere)
    (place / f"{PREFIX}linked" / MARKER).symlink_to(elsewhere / MARKER)
    (elsewhere / "file").touch()
    (place / f".a{PART}").symlink_to(elsewhere / "file")
    (place / ".model.onnx.abcd1234").touch()
    (place / f"{PREFIX}file").touch()
    before = names(place)
    if os.geteuid() == 0:
        theirs = place / f"{PREFIX}theirs"
        theirs.mkdir()
        (theirs / MARKER).touch()
        for path in (theirs, theirs / MARKER):
            os.chown(path, 12345, 12345)
        before = names(place)
    with work_folder(place):
        pass
    assert names(place) == before
    assert names(elsewhere) == [MARKER, "file"]


def test_every_folder_of_a_run_is_looked_through(tmp_path: Path) -> None:
    (tmp_path / "turn-01").mkdir()
    with holding(tmp_path / "turn-01") as process:
        process.kill()
    remove_dead_below(tmp_path)
    assert names(tmp_path / "turn-01") == []


def test_a_long_name_has_its_part_too(tmp_path: Path) -> None:
    with part_of(tmp_path / ("a" * 250)) as part:
        assert part.parent == tmp_path
    assert names(tmp_path) == []


def test_a_claimed_folder_is_found_again_and_removed(tmp_path: Path) -> None:
    folder = claim_folder(tmp_path / "outputs")
    (folder / "a").touch()
    assert claim_folder(folder) == folder
    remove_claimed(folder)
    assert names(tmp_path) == []


def test_a_folder_of_others_is_neither_claimed_nor_removed(tmp_path: Path) -> None:
    theirs, linked = tmp_path / "outputs", tmp_path / "linked"
    theirs.mkdir()
    (theirs / "precious").touch()
    with pytest.raises(RunFolderError, match=r"outputs: is in the way.*choose another --out"):
        claim_folder(theirs)
    claim_folder(linked).rmdir()
    linked.symlink_to(theirs)
    for folder in (theirs, linked):
        remove_claimed(folder)
    assert names(theirs) == ["precious"]
